"""One contestant in a process of its own: `python -m benchmarks.contestants NAME --n N ...`.

Runs n no-op configs, then prints one JSON line (see `Told`) and ends. What the contestant itself
prints goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.noop import configs, noop

MISSING = 3  # the exit code of a contestant that is not installed


@dataclass
class Told:
    """What a contestant says of itself. Times are seconds since the epoch, CPU is in seconds."""

    started_at: float  # imports are done, the work starts
    returned_at: float  # the call has returned
    work_ended_at: float | None  # the last run has ended; None: read it from the run folders
    succeeded: int
    task_runs: int  # how many the server has to know of in the end
    cpu_at_start_s: float  # this process and its children, imports included
    flow_cpu_s: float  # this process alone, while it worked
    peak_mb: float  # of this process alone


class _Clock:
    def __init__(self) -> None:
        self.cpu_at_start_s = _cpu_s(resource.RUSAGE_SELF) + _cpu_s(resource.RUSAGE_CHILDREN)
        self._own_s = _cpu_s(resource.RUSAGE_SELF)
        self.started_at = time.time()

    def told(
        self,
        succeeded: int,
        *,
        task_runs: int,
        started_at: float | None = None,
        work_ended_at: float | None = None,
    ) -> Told:
        return Told(
            started_at=started_at or self.started_at,
            returned_at=time.time(),
            work_ended_at=work_ended_at,
            succeeded=succeeded,
            task_runs=task_runs,
            cpu_at_start_s=self.cpu_at_start_s,
            flow_cpu_s=_cpu_s(resource.RUSAGE_SELF) - self._own_s,
            peak_mb=_peak_mb(),
        )


def ours(n: int, workers: int, root: Path) -> Told:
    from argus_tasks import sweep_flow  # type: ignore[attr-defined,unused-ignore]

    # Prefect's import alone takes a second; it is no part of the work, here as with the peers.
    import_module("argus_tasks.flows.call")
    work = configs(n)
    clock = _Clock()
    summary = sweep_flow(work, noop, results_root=root, mode="process_pool", workers=workers)
    return clock.told(summary.succeeded, task_runs=n)


def ztxexp(n: int, workers: int, root: Path) -> Told:
    from ztxexp import ExpRunner

    work = configs(n)
    clock = _Clock()
    summary = ExpRunner(work, root, noop).run(mode="process_pool", workers=workers)
    return clock.told(summary.succeeded, task_runs=0)


def prefect_threads_best(n: int, workers: int, root: Path) -> Told:  # noqa: ARG001
    from benchmarks import plain_prefect

    clock = _Clock()
    mapped = plain_prefect.threads_best(n, workers)
    return clock.told(mapped.completed, task_runs=n, work_ended_at=mapped.ended_at)


def prefect_threads_docs(n: int, workers: int, root: Path) -> Told:  # noqa: ARG001
    from benchmarks import plain_prefect

    work = configs(n)
    clock = _Clock()
    mapped = plain_prefect.threads_docs(work, workers)
    return clock.told(mapped.completed, task_runs=n, work_ended_at=mapped.ended_at)


def prefect_processes(n: int, workers: int, root: Path) -> Told:  # noqa: ARG001
    from benchmarks import plain_prefect

    warm_up = 4 * workers
    clock = _Clock()
    mapped = plain_prefect.processes(n, warm_up, workers)
    return clock.told(
        mapped.completed,
        task_runs=n + warm_up,
        started_at=mapped.started_at,
        work_ended_at=mapped.ended_at,
    )


CONTESTANTS: dict[str, Callable[[int, int, Path], Told]] = {
    "ours": ours,
    "ztxexp": ztxexp,
    "prefect-threads-best": prefect_threads_best,
    "prefect-threads-docs": prefect_threads_docs,
    "prefect-processes": prefect_processes,
}


def _cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    # Not ru_maxrss: on Linux that starts at the size of the process that spawned us.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # macOS, in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def own_stdout() -> Callable[[dict[str, Any]], None]:
    """A way to print one line; everything else written to standard output goes to standard error.

    The descriptor is not inherited by workers.
    """
    descriptor = os.dup(1)
    os.dup2(2, 1)

    def tell(value: dict[str, Any]) -> None:
        os.write(descriptor, (json.dumps(value) + "\n").encode())
        os.close(descriptor)

    return tell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--results-root", type=Path, required=True)
    args = parser.parse_args()
    tell = own_stdout()
    try:
        told = CONTESTANTS[args.name](args.n, args.workers, args.results_root)
    except ImportError as error:
        tell({"missing": str(error)})
        return MISSING
    tell(asdict(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
