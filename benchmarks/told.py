"""What a contestant says of itself: one JSON line, when its work is done."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    waited_s: float  # held back by, and settling with, Prefect's server


class Clock:
    """Runs from its making on: made when the imports are over and the work starts."""

    def __init__(self) -> None:
        self.cpu_at_start_s = _cpu_s(resource.RUSAGE_SELF) + _cpu_s(resource.RUSAGE_CHILDREN)
        self._own_s = _cpu_s(resource.RUSAGE_SELF)
        self.started_at = time.time()

    def told(
        self,
        succeeded: int,
        *,
        task_runs: int = 0,
        started_at: float | None = None,
        work_ended_at: float | None = None,
        waited_s: float = 0.0,
    ) -> Told:
        """What to say, now that the call has returned."""
        return Told(
            started_at=started_at or self.started_at,
            returned_at=time.time(),
            work_ended_at=work_ended_at,
            succeeded=succeeded,
            task_runs=task_runs,
            cpu_at_start_s=self.cpu_at_start_s,
            flow_cpu_s=_cpu_s(resource.RUSAGE_SELF) - self._own_s,
            peak_mb=_peak_mb(),
            waited_s=waited_s,
        )


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
