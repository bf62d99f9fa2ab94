"""Peers that know neither Prefect nor run folders: what they do is call a function n times.

Each counts from where its workers can be had: an engine that is to be started first (Dask, Ray) is
started before the clock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import jobs
from benchmarks.told import Clock, Told


class Missing(RuntimeError):
    """The contestant is not on this system."""


@dataclass(frozen=True)
class Work:
    """What a contestant is to do; `seconds` is what each job takes."""

    n: int
    workers: int
    root: Path
    job: str
    seconds: float

    def configs(self) -> list[dict[str, Any]]:
        """One for each job."""
        return jobs.configs(self.n, self.seconds)

    def function(self) -> Callable[[Any], int]:
        """The job, as a function of a config."""
        return partial(jobs.call, self.job)


def _ended(clock: Clock, results: list[Any]) -> Told:
    return clock.told(len(results), work_ended_at=time.time())


def joblib_docs(work: Work) -> Told:
    from joblib import Parallel, delayed

    function, configs = work.function(), work.configs()
    clock = Clock()
    return _ended(clock, Parallel(n_jobs=work.workers)(delayed(function)(each) for each in configs))


def joblib_best(work: Work) -> Told:
    from joblib import Parallel, delayed

    function, configs = work.function(), work.configs()
    clock = Clock()
    share = max(1, work.n // (4 * work.workers))
    parallel = Parallel(n_jobs=work.workers, batch_size=share, pre_dispatch="all")
    return _ended(clock, parallel(delayed(function)(each) for each in configs))


def dask_docs(work: Work) -> Told:
    from distributed import Client

    function, configs = work.function(), work.configs()
    with Client(  # type: ignore[no-untyped-call,unused-ignore]
        n_workers=work.workers, threads_per_worker=1, dashboard_address=None, processes=True
    ) as client:
        clock = Clock()
        return _ended(clock, client.gather(client.map(function, configs, pure=False)))


def dask_best(work: Work) -> Told:
    from distributed import Client

    function, configs = work.function(), work.configs()
    with Client(  # type: ignore[no-untyped-call,unused-ignore]
        n_workers=1, threads_per_worker=work.workers, dashboard_address=None, processes=False
    ) as client:
        clock = Clock()
        return _ended(clock, client.gather(client.map(function, configs, pure=False)))


def ray(work: Work) -> Told:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray as engine

    engine.init(num_cpus=work.workers, include_dashboard=False, logging_level="ERROR")
    try:
        job = engine.remote(jobs.call)
        configs = work.configs()
        engine.get([job.remote(work.job, each) for each in configs[: work.workers]])
        clock = Clock()
        return _ended(clock, engine.get([job.remote(work.job, each) for each in configs]))
    finally:
        engine.shutdown()


def submitit(work: Work) -> Told:
    import submitit as engine

    executor = engine.LocalExecutor(folder=work.root)
    function, configs = work.function(), work.configs()
    clock = Clock()
    ended: list[Any] = []
    # The local executor starts whatever it is given at once: hand over what there are workers for.
    running = [executor.submit(function, each) for each in configs[: work.workers]]
    waiting = configs[len(running) :]
    while running:
        done = [each for each in running if each.done()]
        running = [each for each in running if each not in done]
        ended += [each.result() for each in done]
        for _ in done:
            if waiting:
                running.append(executor.submit(function, waiting.pop(0)))
        time.sleep(0.005)
    return _ended(clock, ended)


def gnu_parallel(work: Work) -> Told:
    program = shutil.which("parallel")
    if program is None or b"GNU parallel" not in _version(program):
        raise Missing("no GNU Parallel on the path")
    code = (
        "import sys; from benchmarks.jobs import call;"
        f" call({work.job!r}, {{'index': int(sys.argv[1]), 'seconds': {work.seconds!r}}})"
    )
    words = [
        program,
        "--will-cite",
        "-q",
        "-j",
        str(work.workers),
        sys.executable,
        "-c",
        code,
        "{}",
    ]
    clock = Clock()
    numbers = "\n".join(map(str, range(work.n)))
    subprocess.run(words, input=numbers, text=True, check=True)
    return clock.told(work.n, work_ended_at=time.time())


def _version(program: str) -> bytes:
    asked = subprocess.run([program, "--version"], capture_output=True, check=False)
    return asked.stdout
