"""Experiment sweeps, run by Prefect, watched by an Argus monitor, left behind as plain folders.

Names are imported when they are first used: `import argus_tasks` loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argus_tasks.api.runner import ExpRunner
    from argus_tasks.api.sweep import sweep_flow
    from argus_tasks.base.errors import BadInput, SkipRun
    from argus_tasks.runs.context import MetricEvent, RunContext
    from argus_tasks.runs.metadata import RunMetadata
    from argus_tasks.runs.summary import RunSummary, SweepFailed
    from argus_tasks.runs.trackers import JsonlTracker, Tracker

_HOME = {
    "BadInput": "base.errors",
    "ExpRunner": "api.runner",
    "JsonlTracker": "runs.trackers",
    "MetricEvent": "runs.context",
    "RunContext": "runs.context",
    "RunMetadata": "runs.metadata",
    "RunSummary": "runs.summary",
    "SkipRun": "base.errors",
    "SweepFailed": "runs.summary",
    "Tracker": "runs.trackers",
    "sweep_flow": "api.sweep",
}

__all__ = [
    "BadInput",
    "ExpRunner",
    "JsonlTracker",
    "MetricEvent",
    "RunContext",
    "RunMetadata",
    "RunSummary",
    "SkipRun",
    "SweepFailed",
    "Tracker",
    "sweep_flow",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'argus_tasks' has no attribute '{name}'")
    value = getattr(import_module(f"argus_tasks.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
