"""Describes how a worker process ended, for the parent."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.runs.record import causes


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a process.

    Attributes:
        code: its exit code, or the negative number of the signal that ended it.
        out_of_memory: whether it ended by SIGKILL while the kernel's count of out-of-memory kills
            rose.
        peak_mb: the largest amount of memory that it used, in MB; 0 if unknown.
        stack: the stack of its threads at a fatal signal or a TERM.
    """

    code: int
    out_of_memory: bool = False
    peak_mb: int = 0
    stack: str = ""


class WorkerDied(ArgusTasksError):
    """A worker, or the process of one attempt, ended in the middle of a run.

    Attributes:
        cause: the cause, as in `runs.record.causes`.
        stack: the Python stack at its end; empty if it is unknown.
    """

    def __init__(self, cause: str, message: str = "", stack: str = "") -> None:
        super().__init__(message or f"the worker process ended: {cause}")
        self.cause = cause
        self.stack = stack

    def __reduce__(self) -> tuple[type[WorkerDied], tuple[object, ...]]:
        return type(self), (self.cause, str(self), self.stack)


class TimedOut(WorkerDied):
    """An attempt was ended because it reached its time limit."""

    def __init__(self, limit_s: float, stack: str = "") -> None:
        super().__init__(causes.TIMEOUT, f"ended after its limit of {limit_s:g} s", stack)
        self._limit_s = limit_s

    def __reduce__(self) -> tuple[type[WorkerDied], tuple[object, ...]]:
        return type(self), (self._limit_s, self.stack)


def worker_died(death: Death) -> WorkerDied:
    """The error for a death: how the process ended and, as far as it is known, why."""
    cause = causes.of_status(death.code)
    message = f"the worker process ended: {cause}"
    peak = f"; it had held up to {death.peak_mb} MB" if death.peak_mb else ""
    if death.out_of_memory:
        cause = causes.OUT_OF_MEMORY
        message = f"the kernel killed the worker process because memory ran out{peak}"
    elif death.code == -signal.SIGKILL:
        message += f", which this sweep did not send; perhaps the kernel's OOM killer did{peak}"
    return WorkerDied(cause, message, death.stack)
