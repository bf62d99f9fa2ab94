"""Where a reporter sends its events: to an outbox (`delivery.link.Emitter`), or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from argus_tasks.base.ids import job_suffix
from argus_tasks.delivery.event_data import JOB_ID_LIMIT, fit_id
from argus_tasks.delivery.events import (
    EVENT_TYPES,
    JOB_EVENTS,
    EpochBuilder,
    EventStream,
    Source,
)
from argus_tasks.delivery.segment_places import Ref


class Sink(Protocol):
    """Where a reporter and its jobs send their events."""

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
        """Send one event; see `Emitter.emit`."""
        ...

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder for the epoch events of one job."""
        ...

    def append(self, line: bytes, kind: int, stream: EventStream, /) -> bool:
        """Append an event that a builder has made."""
        ...

    def upload(self, record: dict[str, Any], /) -> bool:
        """Queue an upload, to be sent after the events before it. False where it was refused."""
        ...

    def interrupted(self) -> None:
        """Count a call that an exception ended while it was sending an event."""
        ...


class NullSink:
    """A sink that discards events: there is no server, or reporting is disabled."""

    def __init__(self, batch_id: str) -> None:
        self.stream = EventStream(batch_id, Source(project="none"))
        self.batch_id = self.stream.batch_id

    def emit(self, *_event: Any, **_options: Any) -> Ref | None:
        """Do nothing."""
        return None

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder whose events are discarded."""
        return self.stream.epochs(job_id)

    def append(self, *_event: Any) -> bool:
        """Do nothing."""
        return False

    def upload(self, _record: dict[str, Any]) -> bool:
        """Refuse the upload."""
        return False

    def interrupted(self) -> None:
        """Do nothing."""


def wire_job_id(batch_id: str, job_id: str) -> str:
    """A job's id on the server: the name and six hex digits of the batch's id, which make it unique
    across batches. An id that has them already stays as it is."""
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
    """Send an event of any type.

    Args:
        emit: sends an event of a type that the server knows.
        batch_id: the batch.
        running_job: the id of the running job; None where no job is running.
        event: the type. One that the server does not know is sent as a `log_line` that holds it.
        fields: the data. `job_id` is the job that the event belongs to; by default the running job.
    """
    given = fields.pop("job_id", None)
    job_id = wire_job_id(batch_id, str(given)) if given is not None else running_job
    if event not in EVENT_TYPES:
        fields = {"line": str(event), "level": "info", "event": str(event), **fields}
        event = "log_line"
    if event in JOB_EVENTS:
        emit(event, job_id or batch_id, fields)
    else:
        emit(event, job_id if event == "resource_snapshot" else None, fields)
