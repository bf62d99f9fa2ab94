"""One contestant in a process of its own: `python -m benchmarks.contestants NAME --n N ...`.

Runs n configs, then prints one JSON line (see `told.Told`) and ends. What the contestant itself
prints goes to standard error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.jobs import JOBS
from benchmarks.peers import Missing, Work
from benchmarks.told import Clock, Told, own_stdout

MISSING = 3  # the exit code of a contestant that is not installed


def ours(work: Work) -> Told:
    from argus_tasks import sweep_flow  # type: ignore[attr-defined,unused-ignore]

    # Prefect's import alone takes a second; it is no part of the work, here as with the peers.
    import_module("argus_tasks.flows.call")
    settled_s = _time_settling()
    configs = work.configs()
    clock = Clock()
    summary = sweep_flow(
        configs,
        JOBS[work.job],
        results_root=work.root,
        mode="process_pool",
        workers=work.workers,
    )
    return clock.told(summary.succeeded, task_runs=work.n, waited_s=sum(settled_s))


def _time_settling() -> list[float]:
    """What is spent on the server: a list that gets its seconds when it is settled with."""
    from argus_tasks.orchestration.mirror.mirror import Mirror

    settle, seconds = Mirror.settle, []

    def timed(mirror: Mirror, *words: Any, **more: Any) -> Any:
        begun = time.monotonic()
        report = settle(mirror, *words, **more)
        seconds.append(time.monotonic() - begun + mirror.held_s)
        return report

    Mirror.settle = timed  # type: ignore[method-assign,assignment]
    return seconds


def ztxexp(work: Work, mode: str) -> Told:
    from ztxexp import ExpRunner

    configs = work.configs()
    clock = Clock()
    # It asks for less than its threshold, also where that is 100.
    summary = ExpRunner(configs, work.root, JOBS[work.job]).run(
        mode=mode, workers=work.workers, cpu_threshold=101
    )
    return clock.told(summary.succeeded)


def prefect_threads_best(work: Work) -> Told:
    from benchmarks import plain_prefect

    clock = Clock()
    mapped = plain_prefect.threads_best(work.n, work.workers)
    return clock.told(mapped.completed, task_runs=work.n, work_ended_at=mapped.ended_at)


def prefect_threads_docs(work: Work) -> Told:
    from benchmarks import plain_prefect

    configs = work.configs()
    clock = Clock()
    mapped = plain_prefect.threads_docs(configs, work.workers)
    return clock.told(mapped.completed, task_runs=work.n, work_ended_at=mapped.ended_at)


def prefect_processes(work: Work) -> Told:
    from benchmarks import plain_prefect

    warm_up = 4 * work.workers
    clock = Clock()
    mapped = plain_prefect.processes(work.n, warm_up, work.workers)
    return clock.told(
        mapped.completed,
        task_runs=work.n + warm_up,
        started_at=mapped.started_at,
        work_ended_at=mapped.ended_at,
    )


CONTESTANTS: dict[str, Callable[[Work], Told]] = {
    "ours": ours,
    "ztxexp": partial(ztxexp, mode="process_pool"),
    "ztxexp-sequential": partial(ztxexp, mode="sequential"),
    "ztxexp-joblib": partial(ztxexp, mode="joblib"),
    "ztxexp-dynamic": partial(ztxexp, mode="dynamic"),
    "prefect-threads-best": prefect_threads_best,
    "prefect-threads-docs": prefect_threads_docs,
    "prefect-processes": prefect_processes,
    "joblib-docs": peers.joblib_docs,
    "joblib-best": peers.joblib_best,
    "dask-docs": peers.dask_docs,
    "dask-best": peers.dask_best,
    "ray": peers.ray,
    "submitit": peers.submitit,
    "gnu-parallel": peers.gnu_parallel,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--results-root", type=Path, required=True)
    parser.add_argument("--job", choices=JOBS, default="noop")
    parser.add_argument("--seconds", type=float, default=0.0, help="of each job")
    args = parser.parse_args()
    tell = own_stdout()
    work = Work(args.n, args.workers, args.results_root, args.job, args.seconds)
    try:
        told = CONTESTANTS[args.name](work)
    except (ImportError, Missing) as error:
        tell({"missing": str(error)})
        return MISSING
    tell(asdict(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
