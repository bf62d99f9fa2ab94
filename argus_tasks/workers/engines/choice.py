"""Chooses the engine of a mode, and checks that its package is installed."""

from __future__ import annotations

import importlib.util

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.modes import Mode
from argus_tasks.workers.engines.dask_engine import DaskEngine
from argus_tasks.workers.engines.engine_executor import Engine
from argus_tasks.workers.engines.ray_engine import RayEngine

_PACKAGES = {"dask": "distributed", "ray": "ray"}


def make_engine(mode: Mode, address: str | None, runs_at_once: int) -> Engine:
    """Make the engine of a mode, not connected yet. Raises BadInput if its package is not
    installed."""
    package = _PACKAGES[mode]
    if importlib.util.find_spec(package) is None:
        raise BadInput(
            f"mode is '{mode}', which needs the package '{package}';"
            f" expected it to be installed: pip install 'argus-tasks[{mode}]'."
        )
    if mode == "ray":
        return RayEngine(address, runs_at_once)
    return DaskEngine(address, runs_at_once)
