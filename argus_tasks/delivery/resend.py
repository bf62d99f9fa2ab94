"""Send again what was set aside: it is appended to the outbox."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from argus_tasks.base.files import dumps
from argus_tasks.delivery.events import EventStream, Source, class_of, is_event
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.uploads import queue_upload


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
