"""Where a framework's training is reported: to the run of a sweep that executes it, to an open job,
or to a batch and a job of its own.
"""

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
    """The training ended early because a stop was requested."""


class Unfinished(Exception):
    """The training had not ended when another one began or the process ended."""


class Training(Protocol):
    """One training that a callback reports."""

    @property
    def stopped(self) -> bool:
        """Whether a stop of the training was requested."""
        ...

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Report the numbers of one epoch."""

    def metrics(self, metrics: dict[str, Any]) -> None:
        """Set results; a later value of a name replaces an earlier one."""

    def log(self, line: str) -> None:
        """Send a line to the log view."""

    def end(self, error: BaseException | None, *, stopped: bool = False) -> None:
        """Report the end.

        Args:
            error: the exception that ended the training; None where it ended without one.
            stopped: whether it ended because of a stop request.
        """


def open_training(
    *,
    job: JobContext | None,
    job_id: str,
    model: str | None,
    dataset: str | None,
    batch_prefix: str,
    batch_id: str | None,
) -> Training:
    """Start to report a training: to `job`, else to the sweep's run that executes it, else to the
    open job, else to a new job. The new job belongs to the current reporter, else to a new batch;
    both end with the training.

    A thread trains one model at a time. A job of an earlier training that an exception has left
    open in this thread ends now.

    Args:
        job: an open job to report to.
        job_id: the name of a new job.
        model: the model of a new job.
        dataset: the dataset of a new job.
        batch_prefix: what the id of a new batch begins with.
        batch_id: the id of a new batch; by default a random one.
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
    """The training of a sweep's experiment: its numbers are in the run folder, too."""

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
        """Do nothing: the sweep reports the end of the run."""


class _InJob:
    """A training that reports to a job which other code has opened."""

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
        """Do nothing: the code that opened the job ends it."""


class _OwnJob(_InJob):
    """A training with a job of its own, and a batch of its own where none is open."""

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
    """The exception that ended the process, for a training that is still open at its end;
    Unfinished where there was none."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error or Unfinished("the process ended before it did")


@guarded(default=None)
def _end_what_is_open() -> None:
    for training in _open.copy():
        training.end(what_ended_the_process())


atexit.register(_end_what_is_open)
