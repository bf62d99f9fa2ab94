"""Where a framework's training reports to: the run of a sweep that it is part of, a job that is
open already, or a batch and a job of its own."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from argus_tasks.base.guard import guarded
from argus_tasks.reporting import active
from argus_tasks.reporting.child_processes import current_emitter
from argus_tasks.reporting.job import JobContext, open_jobs
from argus_tasks.reporting.reporter import Reporter
from argus_tasks.runs.context.run_context import RunContext, running

_NAMES_OF_PARAMETERS = ("self", "epoch")


class Stopped(Exception):
    """Why a training ended before its time: somebody asked for it."""


class Unfinished(Exception):
    """Something else began, or the process ended, and this had not."""


class Training(Protocol):
    """One training, as a callback reports it."""

    @property
    def stopped(self) -> bool:
        """Whether it shall end."""
        ...

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """A point of its curves."""

    def metrics(self, metrics: dict[str, Any]) -> None:
        """What it came to; later ones over earlier ones."""

    def log(self, line: str) -> None:
        """A line for the log view."""

    def end(self, error: BaseException | None, *, stopped: bool = False) -> None:
        """It is over: by this exception, or because it was asked to stop, or well."""


def open_training(
    *,
    job: JobContext | None,
    job_id: str,
    model: str | None,
    dataset: str | None,
    batch_prefix: str,
    batch_id: str | None,
) -> Training:
    """Where the training reports to: `job` where one is given; the run whose experiment trains;
    the job that is open here; else a job of its own, in the reporter that was entered last or in a
    batch of its own, which both end with it.

    A thread trains one thing at a time: a job of its own that an exception has left open in this
    thread, and whose framework has not said so, ends here.
    """
    for left in [one for one in _open if one.thread == threading.get_ident()]:
        left.end(Unfinished("another training has begun"))
    run = running.current()
    if job is None and run is not None:
        return _InRun(run)
    outer = job or open_jobs.current()
    if outer is not None:
        return _InJob(outer)
    return _OwnJob(job_id, model, dataset, batch_prefix, batch_id)


class _InRun:
    """An experiment of a sweep trains: what it says is in the run's folder, too."""

    def __init__(self, run: RunContext) -> None:
        self._run = run

    @property
    def stopped(self) -> bool:
        return self._run.stopped

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        taken = {
            f"{name}_" if name in _NAMES_OF_PARAMETERS else name: numbers[name] for name in numbers
        }
        self._run.epoch(epoch, **taken)

    def metrics(self, metrics: dict[str, Any]) -> None:
        worker = current_emitter()
        if worker is not None:
            worker.add_metrics(metrics)

    def log(self, line: str) -> None:
        self._run.log(line)

    def end(self, error: BaseException | None, *, stopped: bool = False) -> None:
        """The sweep says how the run ended."""


class _InJob:
    """Somebody else's job."""

    def __init__(self, job: JobContext) -> None:
        self._job = job

    @property
    def stopped(self) -> bool:
        return self._job.stopped

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        self._job.point(epoch, numbers)

    def metrics(self, metrics: dict[str, Any]) -> None:
        self._job.metrics(metrics)

    def log(self, line: str) -> None:
        self._job.log(line)

    def end(self, error: BaseException | None, *, stopped: bool = False) -> None:
        """Whoever opened the job ends it."""


class _OwnJob(_InJob):
    """A job that begins and ends with the training, and its batch where none is open."""

    def __init__(
        self,
        job_id: str,
        model: str | None,
        dataset: str | None,
        batch_prefix: str,
        batch_id: str | None,
    ) -> None:
        self.thread = threading.get_ident()
        self._who = "the monitor"
        self._stack = ExitStack()
        reporter = active.innermost()
        if not isinstance(reporter, Reporter):
            reporter = Reporter(
                batch_prefix, batch_id=batch_id, n_total=1, experiment_type="training"
            )
            reporter.options.on_stop = self._asked
            self._stack.enter_context(reporter)
        super().__init__(
            self._stack.enter_context(reporter.job(job_id, model=model, dataset=dataset))
        )
        _open.append(self)

    def end(self, error: BaseException | None, *, stopped: bool = False) -> None:
        if self not in _open:
            return
        _open.remove(self)
        if error is None and stopped:
            error = Stopped(f"by {self._who}")
        trace = None if error is None else error.__traceback__
        self._stack.__exit__(None if error is None else type(error), error, trace)

    def _asked(self, who: str) -> None:
        self._who = who


_open: list[_OwnJob] = []


def what_ended_the_process() -> BaseException:
    """At the interpreter's end, for what should have ended before it: the exception that nobody
    has caught, where there was one."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error or Unfinished("the process ended before it did")


@guarded(default=None)
def _end_what_is_open() -> None:
    for training in _open.copy():
        training.end(what_ended_the_process())


atexit.register(_end_what_is_open)
