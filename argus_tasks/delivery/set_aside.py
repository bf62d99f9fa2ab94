"""The events and uploads that an outbox has set aside: refused by the server, or unreadable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from argus_tasks.base.files import append_line, dumps, read_whole, write_bytes_whole
from argus_tasks.base.locks import locked
from argus_tasks.delivery.batch_counts import Counts
from argus_tasks.delivery.batch_totals import LOCK, add_to_totals, totals_file

ASIDE = "aside.jsonl"
_SHARE = 1 / 4
"""The part of an outbox's size limit that they may use."""
_TORN_SHOWN = 4096


class SetAside:
    """The file of one outbox with what was set aside."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._path = folder / ASIDE
        self._limit_bytes = int(limit_bytes * _SHARE)

    def put(
        self, *, line: bytes, reason: str, status: int | None, upload: dict[str, Any] | None = None
    ) -> None:
        """Set an event or upload aside. Where that needs more than a quarter of the outbox's size
        limit, it is dropped and counted as `over_bound`.

        Args:
            line: the event; empty for an upload.
            reason: why the server refused it.
            status: the status of the server's answer.
            upload: the record of the upload.

        Raises:
            OSError, TimeoutError: the file cannot be locked or written.
        """
        event = None
        if line:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"unreadable": line.decode("utf-8", "replace")}
        kept = {
            "at": time.time(),
            "event_id": (event or {}).get("event_id") or (upload or {}).get("id"),
            "status": status,
            "reason": reason[:2000],
            "event": event,
            "upload": upload,
        }
        with locked(self._lock):
            if not self._append(kept):
                self._take_out_of_totals(kept, "over_bound")

    def put_torn(self, raw: bytes, where: str) -> None:
        """Set aside bytes that cannot be read, with their place.

        Errors: OSError, TimeoutError.
        """
        kept = {
            "at": time.time(),
            "event_id": where,
            "status": None,
            "reason": f"{len(raw)} bytes that cannot be read",
            "event": None,
            "upload": None,
            "unreadable": raw[:_TORN_SHOWN].decode("utf-8", "backslashreplace"),
        }
        with locked(self._lock):
            self._append(kept)

    def all(self) -> list[dict[str, Any]]:
        """All that was set aside, each once."""
        found: dict[str, dict[str, Any]] = {}
        for _, value in self._lines():
            if value is not None:
                found.setdefault(str(value.get("event_id")), value)
        return list(found.values())

    def drop(self, ids: Collection[str] | None, reason: str) -> int:
        """Drop what was set aside: the named ids, or all. Returns how many there were.

        Errors: OSError, TimeoutError.
        """
        with locked(self._lock):
            given_up = self._take_out(ids, lambda _: True)
            for value in given_up:
                self._take_out_of_totals(value, reason)
        return len(given_up)

    def retry(self, ids: Collection[str] | None, send: Callable[[dict[str, Any]], bool]) -> int:
        """Pass what the server refused (the named ids, or all) to `send`, which returns whether it
        is in the outbox again. Returns how many are. Errors: OSError, TimeoutError."""
        with locked(self._lock):
            sent = self._take_out(
                ids, lambda value: bool(value.get("event") or value.get("upload")) and send(value)
            )
            for value in sent:
                self._take_out_of_totals(value, None)
        return len(sent)

    @property
    def _lock(self) -> str:
        return os.fspath(self._folder / LOCK)

    def _append(self, kept: dict[str, Any]) -> bool:
        text = dumps(kept)
        size = self._path.stat().st_size if self._path.exists() else 0
        if size + len(text) > self._limit_bytes:
            return False
        append_line(self._path, text)
        return True

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
        try:
            lines = read_whole(self._path).splitlines(keepends=True)
        except OSError:
            return
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            yield line, value if isinstance(value, dict) else None

    def _take_out(
        self, ids: Collection[str] | None, goes: Callable[[dict[str, Any]], bool]
    ) -> list[dict[str, Any]]:
        gone: dict[str, dict[str, Any]] = {}
        left: list[bytes] = []
        for line, value in self._lines():
            event_id = str(value.get("event_id")) if value is not None else ""
            wanted = value is not None and (ids is None or event_id in ids)
            if event_id in gone:
                continue
            if wanted and value is not None and goes(value):
                gone[event_id] = value
            else:
                left.append(line)
        if gone:
            write_bytes_whole(self._path, b"".join(left))
        return list(gone.values())

    def _take_out_of_totals(self, value: dict[str, Any], reason: str | None) -> None:
        """Count an event as no longer set aside; with a reason, as dropped."""
        event = value.get("event")
        batch_id = event.get("batch_id") if isinstance(event, dict) else None
        if batch_id:
            counts = Counts(set_aside=-1)
            if reason is not None:
                counts.drop(reason)
            add_to_totals(totals_file(self._folder, str(batch_id)), str(batch_id), counts)
