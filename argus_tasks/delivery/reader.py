"""Reading segments: whole lines only, whoever still writes and however the writer died."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.delivery.events import LINE_START, event_type_of, is_event, series_of
from argus_tasks.delivery.segment import Ref

_CHUNK = 1024 * 1024


@dataclass(slots=True)
class Entry:
    """One line of a segment that matters to the sender, and where it ends (logical offset)."""

    end: int
    line: bytes = b""
    after: tuple[Ref, ...] = ()
    upload: dict[str, Any] | None = None
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    torn: bytes | None = None
    final: bool = False

    @property
    def is_event(self) -> bool:
        """Whether it holds an event."""
        return bool(self.line)


class SegmentReader:
    """Reads one segment's entries from a logical offset on, as the file grows."""

    def __init__(self, path: str, offset: int = 0) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._physical = 0
        self.position = 0
        self._after: tuple[Ref, ...] = ()
        self._skip_to(offset)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def sync(self) -> None:
        """Flush the file to the disk, whoever wrote it."""
        try:
            os.fsync(self._descriptor)
        except OSError:
            pass

    def rest(self) -> int:
        """Bytes after what has been read, a torn end included."""
        return os.fstat(self._descriptor).st_size - self._physical

    def torn_end(self) -> bytes:
        """What stands after the last whole line."""
        return os.pread(self._descriptor, _CHUNK, self._physical)

    def read(self, limit: int = _CHUNK) -> Iterator[Entry]:
        """The next entries, about `limit` bytes of them; stop early and the rest comes again.

        An entry counts as read when the next one is asked for, or `took` is called.
        """
        data = self._whole_lines(limit)
        start = 0
        while start < len(data):
            stop = data.index(b"\n", start) + 1
            line = data[start:stop]
            entry = self._entry(line)
            if entry is None:
                self._advance(len(line), self.position + len(line))
            else:
                yield entry
                self._advance(len(line), entry.end)
                self._after = ()
            start = stop

    def _advance(self, physical: int, logical: int) -> None:
        self._physical += physical
        self.position = logical

    def _entry(self, line: bytes) -> Entry | None:
        end = self.position + len(line)
        if line[:1] == b"{" and is_event(line):
            return Entry(end, line, self._after)
        if line[:1] != b"#":
            return self._torn(line, end)
        try:
            note = json.loads(line[1:])
        except ValueError:
            return Entry(end, torn=line)
        if "after" in note:
            self._after = tuple(Ref.parse(text) for text in note["after"])
            return None
        if "upload" in note:
            return Entry(end, upload=note["upload"], after=self._after)
        if "gap" in note:
            return Entry(self.position + int(note["gap"]), dropped=note.get("dropped", {}))
        if note.get("end"):
            return Entry(end, final=True)
        return None

    def _torn(self, line: bytes, end: int) -> Entry:
        # A line cut short by a full disk may stand before a whole one.
        start = line.rfind(LINE_START)
        if start > 0 and is_event(line[start:]):
            return Entry(end, line[start:], self._after, torn=line[:start])
        return Entry(end, torn=line)

    def _whole_lines(self, limit: int) -> bytes:
        while True:
            data = os.pread(self._descriptor, limit, self._physical)
            cut = data.rfind(b"\n") + 1
            if cut or len(data) < limit:
                return data[:cut]
            limit *= 4

    def _skip_to(self, offset: int) -> None:
        head = os.pread(self._descriptor, 4096, 0)
        first = head[: head.find(b"\n") + 1]
        if b'"gapped":true' not in first:
            self._physical = self.position = offset
            return
        while self.position < offset:
            for entry in self.read():
                if entry.end > offset:
                    return
                if entry.end == offset:
                    self._advance_over(entry)
                    return
            if self.position >= offset or not self._whole_lines(_CHUNK):
                return

    def _advance_over(self, entry: Entry) -> None:
        # The generator moves on only when asked: read the same line's length again.
        data = self._whole_lines(_CHUNK)
        self._advance(data.index(b"\n") + 1, entry.end)
        self._after = ()


def torn_series(torn: bytes) -> tuple[str, int] | None:
    """The id's series and number of a torn event, where that much of it is there."""
    if not torn.startswith(LINE_START) or len(torn) < len(LINE_START) + 37:
        return None
    try:
        return series_of(torn)
    except ValueError:
        return None


def batch_of(line: bytes) -> str:
    """The batch of an event's line. Errors: ValueError."""
    value = json.loads(line)
    return str(value["batch_id"])


__all__ = ["Entry", "SegmentReader", "batch_of", "event_type_of", "torn_series"]
