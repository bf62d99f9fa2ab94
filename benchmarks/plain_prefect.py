"""The peer without us: a Prefect flow that maps a task, in the ways people write it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Mapped:
    """How many tasks completed, and from when to when they ran (seconds since the epoch)."""

    completed: int
    started_at: float
    ended_at: float


def threads_best(n: int, workers: int) -> Mapped:
    """Map the cheapest task on threads."""
    started_at = time.time()

    @flow(name="threads-best", task_runner=ThreadPoolTaskRunner(max_workers=workers))  # type: ignore[arg-type]
    def run_all() -> Mapped:
        return _map_best(n, started_at)

    return run_all()


def threads_docs(configs: list[dict[str, Any]], workers: int) -> Mapped:
    """Map the tutorial's task on threads."""
    started_at = time.time()

    @flow(name="threads-docs", task_runner=ThreadPoolTaskRunner(max_workers=workers))  # type: ignore[arg-type]
    def run_all() -> Mapped:
        completed = len(docs_job.map(configs).result())
        return Mapped(completed, started_at, time.time())

    return run_all()


def processes(n: int, warm_up: int, workers: int) -> Mapped:
    """Map the cheapest task on processes.

    The workers import Prefect first, seconds that would drown the few tasks there is time for. So
    `warm_up` tasks are run before the clock starts.
    """

    @flow(name="processes", task_runner=ProcessPoolTaskRunner(max_workers=workers))  # type: ignore[arg-type]
    def run_all() -> Mapped:
        _map_best(warm_up, 0)
        return _map_best(n, time.time())

    return run_all()


def one_job(job: Callable[[], object]) -> None:
    """A flow of a single task."""

    @task(cache_policy=NO_CACHE, persist_result=False)
    def only() -> None:
        job()

    @flow(name="one-job", task_runner=ThreadPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
    def run_it() -> None:
        only.submit().result()

    run_it()


def _map_best(n: int, started_at: float) -> Mapped:
    futures = best_job.map(range(n))
    wait(list(futures))
    ended_at = time.time()
    return Mapped(sum(future.state.is_completed() for future in futures), started_at, ended_at)
