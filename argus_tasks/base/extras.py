"""Optional packages, which extras of this package install."""

from __future__ import annotations

from importlib.util import find_spec

from argus_tasks.base.errors import MissingExtra


def need(extra: str, *packages: str) -> None:
    """Check for an optional package.

    Args:
        extra: the extra that installs it.
        packages: one of these must be installed.

    Raises:
        MissingExtra: none of them is installed; the message says how to install one.
    """
    if not any(find_spec(package) for package in packages):
        raise MissingExtra(
            f"{' or '.join(packages)} is not installed: pip install 'argus-tasks[{extra}]'"
        )
