"""Where a reporter's events go: to an outbox, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from argus_tasks.base.ids import job_suffix
from argus_tasks.delivery.events import (
    EVENT_TYPES,
    JOB_EVENTS,
    JOB_ID_LIMIT,
    EpochBuilder,
    EventStream,
    Source,
    fit_id,
)
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.segment_places import Ref


class Sink(Protocol):
    """What reporter and jobs emit to."""

    batch_id: str
    stream: EventStream

    def emit(
        self,
        event_type: str,
        job_id: str | None,
        data: dict[str, Any],
        *,
        after: Sequence[Ref] = (),
        sync: bool = False,
    ) -> Ref | None:
        """Emit one event; see `Emitter.emit`."""
        ...

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder of one job's epochs."""
        ...

    def append(self, line: bytes, kind: int, stream: EventStream, /) -> bool:
        """Append what a builder built."""
        ...

    def upload(self, record: dict[str, Any], /) -> bool:
        """Queue an upload behind what has been emitted; whether it was taken."""
        ...

    def interrupted(self) -> None:
        """An exception ended a call that was emitting."""
        ...


class OutboxSink:
    """Events go to an outbox."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.batch_id = emitter.batch_id
        self.stream = emitter.stream
        self.emit = emitter.emit
        self.epochs = emitter.epochs
        self.append = emitter.writer.append
        self.interrupted = emitter.interrupted

    def upload(self, record: dict[str, Any]) -> bool:
        """Queue an upload behind what has been emitted; whether it was taken."""
        return self.emitter.writer.append_directive({"upload": record}, self.stream) is not None


class NullSink:
    """Events go nowhere: there is no server, or reporting is turned off."""

    def __init__(self, batch_id: str) -> None:
        self.stream = EventStream(batch_id, Source(project="none"))
        self.batch_id = self.stream.batch_id

    def emit(self, *_event: Any, **_options: Any) -> Ref | None:
        """Nothing happens."""
        return None

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder whose events go nowhere."""
        return self.stream.epochs(job_id)

    def append(self, *_event: Any) -> bool:
        """Nothing happens."""
        return False

    def upload(self, _record: dict[str, Any]) -> bool:
        """Nothing is taken."""
        return False

    def interrupted(self) -> None:
        """Nothing was begun."""


def wire_job_id(batch_id: str, job_id: str) -> str:
    """A job's id as the server has it: unique across batches by its last six digits."""
    tail = f"-{job_suffix(batch_id)}"
    if job_id.endswith(tail):
        return fit_id(job_id, JOB_ID_LIMIT)
    return fit_id(job_id, JOB_ID_LIMIT - len(tail)) + tail


def emit_any(
    emit: Callable[[str, str | None, dict[str, Any]], object],
    batch_id: str,
    running_job: str | None,
    event: str,
    fields: dict[str, Any],
) -> None:
    """Emit what a user named freely: `job_id` among the fields says whose it is, else it is the
    running job's. A type that the server does not know goes as a `log_line` that holds it."""
    given = fields.pop("job_id", None)
    job_id = wire_job_id(batch_id, str(given)) if given is not None else running_job
    if event not in EVENT_TYPES:
        fields = {"line": str(event), "level": "info", "event": str(event), **fields}
        event = "log_line"
    if event in JOB_EVENTS:
        emit(event, job_id or batch_id, fields)
    else:
        emit(event, job_id if event == "resource_snapshot" else None, fields)
