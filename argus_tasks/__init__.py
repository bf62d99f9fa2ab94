"""argus-tasks: experiment sweeps, run by Prefect, watched by an Argus monitor.

Names are loaded when they are first used: importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argus_tasks.delivery.events import SCHEMA_VERSION as SCHEMA_VERSION
    from argus_tasks.reporting.active import derive_batch_id as derive_batch_id
    from argus_tasks.reporting.active import emit as emit
    from argus_tasks.reporting.active import get_batch_id as get_batch_id
    from argus_tasks.reporting.active import new_batch_id as new_batch_id
    from argus_tasks.reporting.active import set_batch_id as set_batch_id
    from argus_tasks.reporting.job import JobContext as JobContext
    from argus_tasks.reporting.reporter import Reporter as Reporter
    from argus_tasks.reporting.template import sub_env as sub_env

_WHERE = {
    "JobContext": "argus_tasks.reporting.job",
    "Reporter": "argus_tasks.reporting.reporter",
    "SCHEMA_VERSION": "argus_tasks.delivery.events",
    "derive_batch_id": "argus_tasks.reporting.active",
    "emit": "argus_tasks.reporting.active",
    "get_batch_id": "argus_tasks.reporting.active",
    "new_batch_id": "argus_tasks.reporting.active",
    "set_batch_id": "argus_tasks.reporting.active",
    "sub_env": "argus_tasks.reporting.template",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(where), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
