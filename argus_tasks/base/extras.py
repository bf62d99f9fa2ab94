"""What the base install does not bring: asked for by name, with how to install it."""

from __future__ import annotations

from importlib.util import find_spec

from argus_tasks.base.errors import BadInput


def needs_extra(package: str, extra: str, who: str) -> None:
    """Raise BadInput, with how to install it, where a package is not there; nothing is imported.

    `package` is the name that is imported, `extra` the extra of ours that brings it.
    """
    if find_spec(package) is None:
        raise BadInput(
            f"{who} needs the package {package}, which is not installed here:"
            f" pip install 'argus-tasks[{extra}]'"
        )
