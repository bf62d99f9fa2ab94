"""Reading segments: whole lines only, whoever still writes and however the writer died."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.delivery.events import LINE_START, is_event, series_of
from argus_tasks.delivery.segment import Ref

_CHUNK = 1024 * 1024


@dataclass(slots=True)
class Entry:
    """One line of a segment that matters to the sender.

    `end` is where it ends, counting what was taken out; `at` is where it ends in the file.
    """

    end: int
    at: int
    line: bytes = b""
    after: tuple[Ref, ...] = ()
    upload: dict[str, Any] | None = None
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    torn: bytes | None = None
    final: bool = False


class SegmentReader:
    """Reads one segment's entries from a logical offset on, as the file grows."""

    def __init__(self, path: str, offset: int = 0) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._at = 0
        self.position = 0
        self._skip_to(offset)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # not where the file could not be opened
            self.close()

    def sync(self) -> None:
        """Flush the file to the disk, whoever wrote it."""
        try:
            os.fsync(self._descriptor)
        except OSError:
            pass

    def torn_end(self) -> bytes:
        """What stands after the last whole line."""
        data = os.pread(self._descriptor, _CHUNK, self._at)
        return data[data.rfind(b"\n") + 1 :]

    def read(self, limit: int = _CHUNK) -> list[Entry]:
        """The entries after the last one taken, about `limit` bytes of them; none where there is
        nothing more yet."""
        while True:
            data = os.pread(self._descriptor, limit, self._at)
            whole = data[: data.rfind(b"\n") + 1]
            entries = self._entries([line + b"\n" for line in whole.split(b"\n")[:-1]])
            # One long line, or lines that are no entries but belong to the next: look further.
            if entries or len(data) < limit:
                return entries
            limit *= 4

    def _entries(self, lines: list[bytes]) -> list[Entry]:
        entries: list[Entry] = []
        after: tuple[Ref, ...] = ()
        at, position = self._at, self.position
        for line in lines:
            at += len(line)
            position += len(line)
            if line[:1] == b"{" and _is_whole(line):
                entries.append(Entry(position, at, line, after))
            elif line[:1] != b"#":
                entries.append(_torn(line, Entry(position, at, after=after)))
            else:
                note = _note(line)
                if "after" in note:
                    after = tuple(Ref.parse(text) for text in note["after"])
                    continue
                if "gap" in note:
                    position += int(note["gap"]) - len(line)
                    entries.append(Entry(position, at, dropped=note.get("dropped", {})))
                elif "upload" in note:
                    entries.append(Entry(position, at, after=after, upload=note["upload"]))
                elif "end" in note:
                    entries.append(Entry(position, at, final=True))
            after = ()
        return entries

    def take(self, entry: Entry) -> None:
        """Go on behind this entry."""
        self._at, self.position = entry.at, entry.end

    def _skip_to(self, offset: int) -> None:
        head = os.pread(self._descriptor, 4096, 0)
        if b'"gapped":true' not in head[: head.find(b"\n") + 1]:
            self._at = self.position = offset
            return
        while self.position < offset:
            entries = [entry for entry in self.read() if entry.end <= offset]
            if not entries:
                return
            self.take(entries[-1])


def _is_whole(line: bytes) -> bool:
    if not is_event(line):
        return False
    # An event's start inside of it: a user's data, or a torn line before a whole one.
    return line.rfind(LINE_START) == 0 or bool(_json(line))


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _note(line: bytes) -> dict[str, Any]:
    value = _json(line[1:])
    return value if isinstance(value, dict) else {}


def _torn(line: bytes, entry: Entry) -> Entry:
    # A line cut short by a full disk may stand before a whole one.
    start = line.rfind(LINE_START)
    if start > 0 and is_event(line[start:]):
        entry.line, entry.torn = line[start:], line[:start]
    else:
        entry.torn = line
    return entry


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
