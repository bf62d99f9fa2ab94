"""What a person changes in an outbox: send again what was set aside, drop what waits."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.files import dumps
from argus_tasks.base.locks import ProcessLock
from argus_tasks.delivery.batch_counts import CountsByBatch
from argus_tasks.delivery.events import EventStream, Source, class_of, is_event
from argus_tasks.delivery.outbox_counts import count_waiting
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_cursor import SegmentCursor
from argus_tasks.delivery.uploads import queue_upload, queued


def send_again(outbox: Outbox, event_ids: Collection[str] | None) -> int:
    """Append events and uploads that the server refused to the outbox again.

    Args:
        outbox: the outbox.
        event_ids: their ids; None for all.

    Returns:
        How many were appended.

    Raises:
        OSError, TimeoutError: the outbox cannot be locked or written.
    """
    writer = SegmentWriter(os.fspath(outbox.folder), outbox)

    def send(aside: dict[str, Any]) -> bool:
        if aside.get("upload"):
            queue_upload(outbox, aside["upload"])
            return True
        event = aside["event"]
        line = dumps(event).encode() + b"\n"
        if not is_event(line):
            return False
        stream = EventStream(event.get("batch_id"), Source("unnamed"))
        return writer.append(line, class_of(str(event.get("event_type"))), stream)

    try:
        return outbox.set_aside.retry(event_ids, send)
    finally:
        writer.close()


def give_up_waiting(outbox: Outbox, reason: str) -> int:
    """Drop all waiting events and uploads of an outbox.

    Args:
        outbox: the outbox.
        reason: the reason that the events are counted with.

    Returns:
        How many there were.

    Raises:
        ArgusTasksError: a running process sends from this outbox.
        OSError: a file cannot be written.
    """
    lock = ProcessLock(os.fspath(outbox.folder / "sender.lock"))
    if not lock.take():
        raise ArgusTasksError(
            f"a running process sends from {outbox.folder}; end it first, then drop"
        )
    try:
        dropped = sum(_drop_segment(outbox, segment, reason) for segment in outbox.segments())
        for record in queued(outbox):
            record.unlink(missing_ok=True)
            dropped += 1
    finally:
        lock.give_back()
    return dropped


def _drop_segment(outbox: Outbox, segment: str, reason: str) -> int:
    cursor = SegmentCursor(outbox, segment)
    given_up = CountsByBatch()
    for entry in cursor.reader.remaining():
        count_waiting(entry, given_up, cursor.series)
    dropped = 0
    for counts in given_up.batches.values():
        dropped += counts.waiting
        if counts.waiting:
            counts.drop(reason, counts.waiting)
            counts.waiting = 0
    cursor.ledger.add(given_up)
    outbox.write_ack(segment, cursor.reader.position, cursor.ledger)
    return dropped
