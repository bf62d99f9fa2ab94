"""The run as a Prefect task, in a module of its own: Prefect's worker processes import it."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from benchmarks.fault_acts import act
from benchmarks.fault_round import TIME_LIMIT_S


@task(cache_policy=NO_CACHE, timeout_seconds=TIME_LIMIT_S)
def job(fault: str, index: int) -> dict[str, Any]:
    """One run."""
    return act(fault, index)
