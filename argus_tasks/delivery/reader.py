"""Read segments: whole lines only, while they are written, after their writer has died, and after
damage to the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.base.files import sync_path
from argus_tasks.delivery.batch_counts import CountsByBatch
from argus_tasks.delivery.checked_json import unseal
from argus_tasks.delivery.events import LINE_START, is_event, series_of
from argus_tasks.delivery.segment_places import Ref

_CHUNK = 1024 * 1024


@dataclass(slots=True)
class Entry:
    """One line of a segment, as the sender needs it.

    Attributes:
        end: where it ends, counting lines that were evicted.
        at: where it ends in the file.
        line: the event; empty for a directive.
        after: the places that must be delivered before what follows.
        upload: the file to upload, for a directive that queues one.
        dropped: the counts of evicted events, for a directive in their place.
        torn: bytes that cannot be read: a line that was cut short or damaged.
        final: whether nothing follows in the chain.
        note: the directive as it is in the file.
    """

    end: int
    at: int
    line: bytes = b""
    after: tuple[Ref, ...] = ()
    upload: dict[str, Any] | None = None
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    torn: bytes = b""
    final: bool = False
    note: bytes = b""


class SegmentReader:
    """Reads the entries of one segment from an offset on, while the file grows.

    The file is open only while it is read: a process may not open as many files as there are.
    Errors: OSError where it cannot be opened.
    """

    def __init__(self, path: str, offset: int = 0) -> None:
        self._path = path
        self._at = 0
        self.position = 0
        self.bad_offset = False
        """Whether the offset does not fit the file, which is damaged: it is read from the start."""
        self._skip_to(offset)

    def sync(self) -> None:
        """Flush the file to the disk, whichever process wrote it."""
        with suppress(OSError):
            sync_path(self._path)

    def torn_end(self) -> bytes:
        """The bytes after the last whole line."""
        data = self._bytes(_CHUNK, self._at)
        return data[data.rfind(b"\n") + 1 :]

    def read(self, limit: int = _CHUNK) -> list[Entry]:
        """The entries after the last one taken, about `limit` bytes; empty where there are none."""
        while True:
            data = self._bytes(limit, self._at)
            if not data:
                # A file that was cut short continues at its present end.
                self._at = min(self._at, os.stat(self._path).st_size)  # noqa: PTH116
            whole = data[: data.rfind(b"\n") + 1]
            entries = self._entries([line + b"\n" for line in whole.split(b"\n")[:-1]])
            # One long line, or lines that are no entries: read more.
            if entries or len(data) < limit:
                return entries
            limit *= 4

    def remaining(self) -> Iterator[Entry]:
        """All entries after the last one taken; each chunk is taken when all of it was used."""
        while entries := self.read():
            yield from entries
            self.take(entries[-1])

    def _entries(self, lines: list[bytes]) -> list[Entry]:
        entries: list[Entry] = []
        at, position = self._at, self.position
        for line in lines:
            at += len(line)
            position += len(line)
            if line[:1] == b"{" and _is_whole(line):
                entries.append(Entry(position, at, line))
                continue
            if line[:1] != b"#":
                entries.append(_torn(line, Entry(position, at)))
                continue
            try:
                value = unseal(line[1:])
                if "gap" in value:
                    position += int(value["gap"]) - len(line)
                entry = Entry(position, at, note=b"" if "gap" in value else line)
                if _fill(entry, value):
                    entries.append(entry)
            except (ValueError, TypeError, KeyError, AttributeError):
                entries.append(Entry(position, at, torn=line))
        return entries

    def take(self, entry: Entry) -> None:
        """Continue after this entry."""
        self._at, self.position = entry.at, entry.end

    def _bytes(self, size: int, at: int) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size, at)
        finally:
            os.close(descriptor)

    def _skip_to(self, offset: int) -> None:
        head = self._bytes(4096, 0)
        if b'"segment":' in head[: head.find(b"\n") + 1]:
            # Nothing was evicted from this segment: offsets are those of the file.
            self.bad_offset = offset > 0 and self._bytes(1, offset - 1) not in (b"\n", b"")
            if not self.bad_offset:
                self._at = self.position = offset
            return
        while self.position < offset and not self.bad_offset:
            entries = [entry for entry in self.read() if entry.end <= offset]
            if not entries:
                return
            self.bad_offset = any(entry.torn[:1] == b"#" for entry in entries)
            self.take(entries[-1])
        if self.bad_offset:
            self._at = self.position = 0


def _fill(entry: Entry, value: dict[str, Any]) -> bool:
    """Fill in an entry from its directive; False where the directive is not for the sender."""
    if "after" in value:
        entry.after = tuple(Ref.parse(text) for text in value["after"])
    elif "gap" in value:
        entry.dropped = value.get("dropped", {})
        CountsByBatch().add_drops(entry.dropped)  # raises where it is none
    elif "upload" in value:
        entry.upload = dict(value["upload"])
    elif "end" in value:
        entry.final = True
    else:
        return False
    return True


def _is_whole(line: bytes) -> bool:
    if not is_event(line):
        return False
    # The start of an event within the line: a user's data, or a torn line before a whole one.
    return line.rfind(LINE_START) == 0 or is_intact(line)


def is_intact(line: bytes) -> bool:
    """Whether a line is JSON with the keys of an event. Slow: call it only in case of doubt."""
    try:
        value = json.loads(line)
        series_of(line)
    except ValueError:
        return False
    return isinstance(value, dict) and {"event_id", "event_type", "batch_id"} <= value.keys()


def _torn(line: bytes, entry: Entry) -> Entry:
    # A line cut short by a full disk may stand before a whole one.
    start = line.rfind(LINE_START)
    if start > 0 and is_event(line[start:]):
        entry.line, entry.torn = line[start:], line[:start]
    else:
        entry.torn = line
    return entry


def torn_series(torn: bytes) -> tuple[str, int] | None:
    """The series and number of the id of a torn event; None where the id is torn, too."""
    if not torn.startswith(LINE_START) or len(torn) < len(LINE_START) + 37:
        return None
    try:
        return series_of(torn)
    except ValueError:
        return None


def batch_of(line: bytes) -> str:
    """The batch id of an event. Errors: ValueError where it cannot be read."""
    value = json.loads(line)
    try:
        return str(value["batch_id"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is not an event: {error}") from error
