"""The peer without us: a Prefect flow that maps a task, in the ways people write it."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

# Prefect's type of `task_runner` fits neither of its own runners: hence the ignored arg-types.


@task(cache_policy=NO_CACHE, persist_result=False)
def best_job(index: int) -> int:
    """The cheapest task we found: no cache key, no result file, one number as parameter."""
    return index


@task
def docs_job(config: dict[str, Any]) -> int:
    """The task as a tutorial has it: all defaults, the config as its parameter."""
    return int(config["index"])


def threads_best(n: int, workers: int) -> int:
    """Map the cheapest task on threads. Returns how many completed."""

    @flow(name="threads-best", task_runner=ThreadPoolTaskRunner(max_workers=workers))  # type: ignore[arg-type]
    def run_all() -> int:
        futures = best_job.map(range(n))
        wait(list(futures))
        return sum(future.state.is_completed() for future in futures)

    return run_all()


def threads_docs(configs: list[dict[str, Any]], workers: int) -> int:
    """Map the tutorial's task on threads. Returns how many completed."""

    @flow(name="threads-docs", task_runner=ThreadPoolTaskRunner(max_workers=workers))  # type: ignore[arg-type]
    def run_all() -> int:
        return len(docs_job.map(configs).result())

    return run_all()


def processes(n: int, warm_up: int, workers: int) -> tuple[int, float]:
    """Map the cheapest task on processes. Returns how many completed and when the clock started.

    The workers import Prefect first, seconds that would drown the few tasks there is time for. So
    `warm_up` tasks are run before the clock starts.
    """

    @flow(name="processes", task_runner=ProcessPoolTaskRunner(max_workers=workers))  # type: ignore[arg-type]
    def run_all() -> tuple[int, float]:
        wait(list(best_job.map(range(warm_up))))
        started = time.time()
        futures = best_job.map(range(n))
        wait(list(futures))
        return sum(future.state.is_completed() for future in futures), started

    return run_all()
