"""Drop the waiting events of an outbox by hand; they are counted with the given reason."""

from __future__ import annotations

import os

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.locks import ProcessLock
from argus_tasks.delivery.batch_counts import CountsByBatch
from argus_tasks.delivery.outbox_counts import count_waiting
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment_cursor import SegmentCursor
from argus_tasks.delivery.uploads import queued


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
    while entries := cursor.reader.read():
        for entry in entries:
            count_waiting(entry, given_up, cursor.series)
        cursor.reader.take(entries[-1])
    dropped = 0
    for counts in given_up.batches.values():
        dropped += counts.waiting
        if counts.waiting:
            counts.drop(reason, counts.waiting)
            counts.waiting = 0
    cursor.ledger.add(given_up)
    outbox.write_ack(segment, cursor.reader.position, cursor.ledger)
    return dropped
