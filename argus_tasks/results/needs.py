"""What only some commands need, and the base install does not bring."""

from __future__ import annotations

from importlib.util import find_spec

from argus_tasks.base.errors import ArgusTasksError


def needs_scipy() -> None:
    """Raise ArgusTasksError, with how to install it, where SciPy is not there."""
    if find_spec("scipy") is None:
        raise ArgusTasksError(
            "comparing needs SciPy, which is not installed: pip install 'argus-tasks[stats]'"
        )
