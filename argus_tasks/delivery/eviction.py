"""Eviction: an outbox near its size limit drops waiting events, the least important first."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from argus_tasks.base.files import write_bytes_whole, write_text_whole
from argus_tasks.delivery.drops import add_drops
from argus_tasks.delivery.events import EPOCH, LOG, SNAPSHOT, class_of, event_type_of, series_of
from argus_tasks.delivery.outbox_folder import EVICT_FROM, EVICT_TO, Outbox
from argus_tasks.delivery.reader import Entry, batch_of
from argus_tasks.delivery.segment_cursor import SegmentCursor
from argus_tasks.delivery.segment_places import directive

REASON = "over_bound"


def evict(outbox: Outbox, skip: Collection[str]) -> list[str]:
    """Drop log lines, then resource snapshots, then epochs, oldest first, until 5/16 of the size
    limit are free. Nothing happens below 13/16 of the limit. Only the elected sender calls it.

    Args:
        outbox: the outbox.
        skip: names of segments that are not changed.

    Returns:
        The names of the segments that were rewritten. Offsets in them keep their meaning.
    """
    mark = outbox.folder / "pressure"
    size = outbox.size()
    if size <= outbox.limit_bytes * EVICT_FROM:
        if mark.exists() and size <= outbox.limit_bytes * EVICT_TO:
            mark.unlink(missing_ok=True)
        return []
    rewritten: set[str] = set()
    exhausted = 0
    for kind in (LOG, SNAPSHOT, EPOCH):
        for segment in outbox.segments():
            if size <= outbox.limit_bytes * EVICT_TO:
                break
            if segment in skip:
                continue
            with suppress(OSError):
                freed = _take_out(outbox, segment, kind)
                size -= freed
                if freed:
                    rewritten.add(segment)
        if size <= outbox.limit_bytes * EVICT_TO:
            break
        exhausted += 1
    with suppress(OSError):
        write_text_whole(mark, str(exhausted))
    return sorted(rewritten)


def _take_out(outbox: Outbox, segment: str, kind: int) -> int:
    """Rewrite a segment without its waiting events of a class. Returns the bytes freed."""
    path = outbox.segment_path(segment)
    before = os.stat(path).st_size  # noqa: PTH116
    cursor = SegmentCursor(outbox, segment)
    entries = list(cursor.reader.remaining())
    if not any(_is_of(entry, kind) for entry in entries):
        return 0
    lines = _without(entries, kind, cursor.offset)
    write_bytes_whole(path, b"".join(lines))
    return before - os.stat(path).st_size  # noqa: PTH116


def _without(entries: Sequence[Entry], kind: int, offset: int) -> list[bytes]:
    """The lines of the rewritten segment. The first gap counts the events of all gaps."""
    dropped: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if _is_of(entry, kind):
            with suppress(ValueError):  # without a readable id it is counted nowhere
                prefix, number = series_of(entry.line)
                add_drops(dropped, prefix, batch_of(entry.line), number, {REASON: 1})
        for prefix, more in entry.dropped.items():
            add_drops(dropped, prefix, more["batch"], more["last"], more["reasons"])
    head = directive({"gapped": True})
    lines = [head]
    gap_from = len(head)
    start = offset
    for entry in entries:
        begin, start = start, entry.end
        if _is_of(entry, kind) or entry.dropped:
            continue
        raw = entry.note or entry.torn + entry.line
        if not raw:
            continue
        end_of_gap = max(entry.end - len(raw), begin)
        if end_of_gap > gap_from or dropped:
            lines.append(_gap(end_of_gap - gap_from, dropped))
            dropped = {}
        lines.append(raw)
        gap_from = entry.end
    if start > gap_from or dropped:
        lines.append(_gap(start - gap_from, dropped))
    return lines


def _gap(size: int, dropped: dict[str, dict[str, Any]]) -> bytes:
    return directive({"gap": size} | ({"dropped": dropped} if dropped else {}))


def _is_of(entry: Entry, kind: int) -> bool:
    try:
        return bool(entry.line) and class_of(event_type_of(entry.line)) == kind
    except ValueError:
        return False
