"""Where a reporter's events go: to an outbox, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from argus_tasks.delivery.events import EpochBuilder, EventStream, Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.segment import Ref


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
        return self.emitter.writer.append_directive({"upload": record}) is not None


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
