"""Experiment sweeps, run by Prefect and watched by an Argus monitor; each run leaves a plain
folder.

Names are imported when they are first used, so `import argus_tasks` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argus_tasks.api.runner import ExpRunner
    from argus_tasks.api.sweep_flow import sweep_flow
    from argus_tasks.base.errors import BadInput, SkipRun
    from argus_tasks.delivery.events import SCHEMA_VERSION
    from argus_tasks.reporting.active import (
        derive_batch_id,
        emit,
        get_batch_id,
        new_batch_id,
        set_batch_id,
    )
    from argus_tasks.reporting.job import JobContext
    from argus_tasks.reporting.reporter import Reporter
    from argus_tasks.reporting.template import sub_env
    from argus_tasks.results.tables.frames import results
    from argus_tasks.runs.context.run_context import MetricEvent, RunContext, Tracker
    from argus_tasks.runs.context.trackers import JsonlTracker
    from argus_tasks.runs.ledger.summary import RunSummary, SweepFailed, SweepStopped
    from argus_tasks.runs.record.metadata import RunMetadata
    from argus_tasks.spec.sweep_spec import SweepSpec

_HOME = {
    "BadInput": "base.errors",
    "ExpRunner": "api.runner",
    "JobContext": "reporting.job",
    "JsonlTracker": "runs.context.trackers",
    "MetricEvent": "runs.context.run_context",
    "Reporter": "reporting.reporter",
    "RunContext": "runs.context.run_context",
    "RunMetadata": "runs.record.metadata",
    "RunSummary": "runs.ledger.summary",
    "SCHEMA_VERSION": "delivery.events",
    "SkipRun": "base.errors",
    "SweepFailed": "runs.ledger.summary",
    "SweepSpec": "spec.sweep_spec",
    "SweepStopped": "runs.ledger.summary",
    "Tracker": "runs.context.run_context",
    "derive_batch_id": "reporting.active",
    "emit": "reporting.active",
    "get_batch_id": "reporting.active",
    "new_batch_id": "reporting.active",
    "set_batch_id": "reporting.active",
    "sub_env": "reporting.template",
    "sweep_flow": "api.sweep_flow",
}

__all__ = [
    "SCHEMA_VERSION",
    "BadInput",
    "ExpRunner",
    "JobContext",
    "JsonlTracker",
    "MetricEvent",
    "Reporter",
    "RunContext",
    "RunMetadata",
    "RunSummary",
    "SkipRun",
    "SweepFailed",
    "SweepSpec",
    "SweepStopped",
    "Tracker",
    "derive_batch_id",
    "emit",
    "get_batch_id",
    "new_batch_id",
    "results",
    "set_batch_id",
    "sub_env",
    "sweep_flow",
]


def __getattr__(name: str) -> Any:
    if name == "results":  # a package that can be called: importing from it sets the name, too
        return import_module("argus_tasks.results")
    if name not in _HOME:
        raise AttributeError(f"module 'argus_tasks' has no attribute '{name}'")
    value = getattr(import_module(f"argus_tasks.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
