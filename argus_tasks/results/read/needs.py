"""Checks for packages that only some commands need and that the base install does not include."""

from __future__ import annotations

from importlib.util import find_spec

from argus_tasks.base.errors import ArgusTasksError


def needs_scipy() -> None:
    """Raise ArgusTasksError where SciPy is not installed; the message says how to install it."""
    if find_spec("scipy") is None:
        raise ArgusTasksError(
            "comparing needs SciPy, which is not installed: pip install 'argus-tasks[stats]'"
        )


def needs_plotting() -> None:
    """Raise ArgusTasksError where matplotlib or SciPy is not installed; the message says how."""
    missing = [name for name in ("matplotlib", "scipy") if find_spec(name) is None]
    if missing:
        raise ArgusTasksError(
            f"a report needs {' and '.join(missing)}, not installed here:"
            " pip install 'argus-tasks[report]'"
        )
