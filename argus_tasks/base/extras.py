"""What only some parts need, and the base install does not bring."""

from __future__ import annotations

from importlib.util import find_spec

from argus_tasks.base.errors import MissingExtra


def need(extra: str, *packages: str) -> None:
    """Raise MissingExtra, with how to install it, where none of these packages is installed."""
    if not any(find_spec(package) for package in packages):
        raise MissingExtra(
            f"{' or '.join(packages)} is not installed: pip install 'argus-tasks[{extra}]'"
        )
