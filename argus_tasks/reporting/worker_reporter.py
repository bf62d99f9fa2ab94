"""Reporting from inside an experiment of a sweep: it joins the sweep's batch and its run's job.

The worker only appends to an outbox folder that it was given; the flow's sender ships. Here is no
network, no thread, and no event that opens or closes a batch or a job.
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
from argus_tasks.reporting.sinks import OutboxSink

VARIABLE = "ARGUS_TASKS_JOINED"
"""Set for the processes that an experiment starts; see `child_processes`."""


@dataclass
class JoinContext:
    """What a worker needs to emit for one run. Plain data: goes through JSON with `to_json`."""

    folder: str
    batch_id: str
    job_id: str
    source: Source
    after: str | None = None
    """Where the flow's `job_start` ends (`str` of a Ref); nothing of the worker goes before it."""
    stop_file: str | None = None
    """For processes that the experiment starts: its first byte is not 0 once the run shall stop."""

    def to_json(self) -> dict[str, Any]:
        """As handed to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> JoinContext:
        """The inverse of `to_json`."""
        return cls(**{**value, "source": Source(**value["source"])})


class WorkerEmitter:
    """Emits for the run that this worker executes. Made by `joined`. It is the sink of a run's
    context, and the batch of the jobs that the experiment's own reporters open."""

    def __init__(
        self,
        context: JoinContext,
        stopped: Callable[[], bool] = lambda: False,
        muted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.context = context
        self.metrics: dict[str, Any] = {}
        """What the experiment gave to `JobContext.metrics`: the flow sends it with `job_done`."""
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
        """A point of the run's curves."""
        if not self._muted():
            self._own.point(epoch, numbers)

    def log(self, message: str, level: str) -> None:
        """A line for the log view."""
        if not self._muted():
            self._own.log(message, level)

    def upload(self, path: Path, *, glob: str) -> int:
        """Send a file, or a folder's files that match; how many were taken."""
        return 0 if self._muted() else self._own.upload(path, glob=glob)

    # --- What the experiment's own reporters use ---

    @property
    def stopped(self) -> bool:
        """Whether this run shall stop."""
        return self._stopped()

    def job(self) -> JobContext:
        """The run's job, for a reporter inside the experiment."""
        job = self._make_job()
        self._jobs.append(job)
        return job

    def job_opened(self, job_id: str) -> None:
        """The flow has said so."""

    def job_closed(self, job_id: str, *, failed: bool) -> None:
        """The flow says so."""

    def emit(self, event_type: str, job_id: str | None, data: dict[str, Any]) -> None:
        """Append one event."""
        self.emitter.emit(event_type, job_id, data)

    @guarded(default=None)
    def add_metrics(self, metrics: dict[str, Any]) -> None:
        """Keep metrics for the flow."""
        plain = to_jsonable(metrics)
        if isinstance(plain, dict):
            self.metrics |= plain

    # --- What the flow is told at the end ---

    @property
    def train_epochs(self) -> int:
        """How many epochs the experiment's own reporters have sent."""
        return sum(job.epochs for job in self._jobs)

    @property
    def last(self) -> str | None:
        """Where the last event of this run ends: the flow's `job_done` names it as `after`. None
        where there was none."""
        place = self.emitter.writer.place()
        return str(place) if place is not None and place != self._before else None

    def _make_job(self) -> JobContext:
        return JobContext(
            self,
            OutboxSink(self.emitter),
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
    """Within, a Reporter joins this run's batch and job, and `emit` emits for it, in this thread
    and, where only one run is joined in the process, in all threads.

    `muted`: the run is nobody's any more, and its context tells nothing.
    Errors: OSError where the outbox folder cannot be made.
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
    """The run that was joined in this very thread."""
    return _current.get()


def sole_emitter() -> WorkerEmitter | None:
    """The run that this process works for; None where there are several, or none."""
    return _all[0] if len(_all) == 1 else None


def any_run_joined() -> bool:
    """Whether this process works for any run."""
    return bool(_all)


def writers() -> list[SegmentWriter]:
    """This process's chains."""
    return list(_writers.values())


def close_writers() -> None:
    """End this process's chains (a worker that goes away cleanly)."""
    while _writers:
        _writers.popitem()[1].close()


def _writer_of(folder: str) -> SegmentWriter:
    path = os.path.realpath(folder)
    writer = _writers.get(path)
    if writer is None:
        outbox = Outbox(path).create()
        # Another host cannot see whether a chain is in use.
        made = SegmentWriter(path, outbox, reuse_idle=not outbox.is_shared)
        writer = _writers.setdefault(path, made)
    return writer


_writers: dict[str, SegmentWriter] = {}
_chains_added: set[tuple[str, str]] = set()
_all: list[WorkerEmitter] = []
_current: ContextVar[WorkerEmitter | None] = ContextVar("argus_tasks_joined", default=None)
