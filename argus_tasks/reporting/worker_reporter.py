"""Report from a worker process of a sweep: its events belong to the sweep's batch and job.

A worker only appends to an outbox folder; the sender in the flow's process delivers. It uses no
network and starts no thread, and it sends no event that opens or closes a batch or a job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.guard import guarded
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.delivery.events import Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.reporting.job import JobContext
from argus_tasks.reporting.roster import Roster

VARIABLE = "ARGUS_TASKS_JOINED"
"""The environment variable with the run's context for child processes; see `child_processes`."""


@dataclass
class JoinContext:
    """What a worker needs to emit events for one run. `to_json` makes it plain data.

    Attributes:
        folder: the outbox folder.
        batch_id: the sweep's batch.
        job_id: the run's job, as the monitor has it.
        source: the `source` of the events.
        after: where the flow's `job_start` ends in the outbox (`str` of a Ref). No event of the
            worker is delivered before it.
        stop_file: for processes that the experiment starts: a file whose first byte is not 0 once
            the run is to stop.
    """

    folder: str
    batch_id: str
    job_id: str
    source: Source
    after: str | None = None
    stop_file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As a value for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> JoinContext:
        """The inverse of `to_json`."""
        return cls(**{**value, "source": Source(**value["source"])})


class WorkerEmitter:
    """Emits events for the run that this worker executes. Made by `join_run`.

    It is the sink of the run's context, and the batch of the jobs that reporters within the
    experiment open.
    """

    def __init__(
        self,
        context: JoinContext,
        stopped: Callable[[], bool] = lambda: False,
        muted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.context = context
        self.metrics: dict[str, Any] = {}
        """The values given to `JobContext.metrics`; the flow sends them with `job_done`."""
        self._stopped = stopped
        self._muted = muted
        self._jobs: list[JobContext] = []
        writer = _writer_of(context.folder)
        self.emitter = Emitter(writer, context.batch_id, context.source)
        if context.after:
            self.emitter.stream.after = (Ref.parse(context.after),)
        self.chain = writer.begin()
        key = (self.chain, context.batch_id)
        if key not in _chains_added:
            Roster(Outbox(context.folder), context.batch_id).add_chain(self.chain)
            _chains_added.add(key)
        self._before = writer.place()
        self._own = self._make_job()

    # --- The sink of a run's context ---

    def epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        """Report the numbers of one epoch."""
        if not self._muted():
            self._own.point(epoch, numbers)

    def log(self, message: str, level: str) -> None:
        """Send a line to the log view."""
        if not self._muted():
            self._own.log(message, level)

    def upload(self, path: Path, *, glob: str) -> int:
        """Upload a file, or the matching files of a folder. Returns how many were queued."""
        return 0 if self._muted() else self._own.upload(path, glob=glob)

    # --- For reporters within the experiment ---

    @property
    def stopped(self) -> bool:
        """Whether this run is to stop."""
        return self._stopped()

    def job(self) -> JobContext:
        """The run's job, for a reporter within the experiment."""
        job = self._make_job()
        self._jobs.append(job)
        return job

    def job_opened(self, job_id: str) -> None:
        """Do nothing: the flow reports the start of the job."""

    def job_closed(self, job_id: str, *, failed: bool) -> None:
        """Do nothing: the flow reports the end of the job."""

    @guarded(default=None)
    def add_metrics(self, metrics: dict[str, Any]) -> None:
        """Keep metrics for the `job_done` that the flow sends."""
        plain = to_jsonable(metrics)
        if isinstance(plain, dict):
            self.metrics |= plain

    # --- For the outcome that the worker returns ---

    @property
    def train_epochs(self) -> int:
        """How many epochs the reporters within the experiment have reported."""
        return sum(job.epochs for job in self._jobs)

    @property
    def last(self) -> str | None:
        """Where the last event of this run ends in the outbox: the flow's `job_done` is delivered
        after it. None where there is no event."""
        place = self.emitter.writer.place()
        return str(place) if place is not None and place != self._before else None

    def _make_job(self) -> JobContext:
        return JobContext(
            self,
            self.emitter,
            self.context.job_id,
            labels={},
            keep_metrics=self.add_metrics,
        )


@contextmanager
def join_run(
    context: JoinContext,
    stopped: Callable[[], bool] = lambda: False,
    muted: Callable[[], bool] = lambda: False,
) -> Iterator[WorkerEmitter]:
    """Within this block, reporters and `emit` belong to a run: in this thread, and in all threads
    where the process executes only one run.

    Args:
        context: the run.
        stopped: returns whether the run is to stop.
        muted: returns whether the run has been taken from this worker; then its context emits
            nothing more.

    Raises:
        OSError: the outbox folder cannot be made.
    """
    worker = WorkerEmitter(context, stopped, muted)
    token = _current.set(worker)
    _all.append(worker)
    try:
        yield worker
    finally:
        _all.remove(worker)
        _current.reset(token)


def emitter_of_thread() -> WorkerEmitter | None:
    """What emits for the run of this thread; None where the thread has joined none."""
    return _current.get()


def sole_emitter() -> WorkerEmitter | None:
    """What emits for the only run of this process; None where it has none or several."""
    return _all[0] if len(_all) == 1 else None


def any_run_joined() -> bool:
    """Whether this process executes any run."""
    return bool(_all)


def writers() -> list[SegmentWriter]:
    """The segment writers of this process."""
    return list(_writers.values())


def close_writers() -> None:
    """Close the segment writers of this process, before it ends."""
    while _writers:
        _writers.popitem()[1].close()


def _writer_of(folder: str) -> SegmentWriter:
    path = os.path.realpath(folder)
    writer = _writers.get(path)
    if writer is None:
        outbox = Outbox(path).create()
        # Other hosts cannot see whether a process here uses a chain.
        made = SegmentWriter(path, outbox, reuse_idle=not outbox.is_shared)
        writer = _writers.setdefault(path, made)
    return writer


_writers: dict[str, SegmentWriter] = {}
_chains_added: set[tuple[str, str]] = set()
_all: list[WorkerEmitter] = []
_current: ContextVar[WorkerEmitter | None] = ContextVar("argus_tasks_joined", default=None)
