"""Reads from the ledgers what other sessions have run since this session made its plan.

A session that claims a config asks here whether another one has run it in the meantime.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import FileTail, ends_torn, open_to_append
from argus_tasks.runs.ledger.sweep_folder import TORN, batches, checked_line
from argus_tasks.runs.record.layout import LEDGER_JSONL, STARTS_JSONL, SWEEP_FOLDER, is_plain


class _Lines(FileTail):
    def mappings(self) -> list[dict[str, Any]]:
        """The new lines that are mappings."""
        found = []
        for line in self.lines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]


class Neighbours:
    """What other batches of a results root do after this object is made. Not thread-safe.

    Sessions record their start in `.sweep/starts.jsonl`, so only that file is read while no other
    session runs.
    """

    def __init__(self, results_root: Path) -> None:
        self._root = results_root
        self._batch_id = ""
        self._starts = _Lines(f"{results_root}/{SWEEP_FOLDER}/{STARTS_JSONL}")
        self._starts.lines()
        self._tails: dict[str, _Lines] = {}
        self._watched: set[str] = set()
        self._last: dict[str, str] = {}
        for folder in batches(results_root):
            path = f"{folder.path}/{LEDGER_JSONL}"
            self._tails[folder.batch_id] = _Lines(path, _size(path))
            session = (folder.sessions() or [{"closed_at": "never"}])[-1]
            if not folder.is_over(session):
                self._watched.add(folder.batch_id)

    def note_start(self, batch_id: str) -> None:
        """Record the start of a session of this batch, for the other sessions; its own batch is
        ignored.

        Errors: OSError.
        """
        self._batch_id = batch_id
        line = checked_line({"at": utc_now_iso(), "batch_id": batch_id}) + "\n"
        descriptor = open_to_append(self._starts.path)
        try:
            if ends_torn(descriptor):
                torn = checked_line({"at": utc_now_iso(), "event": TORN})
                line = f"\n{torn}\n{line}"
            os.write(descriptor, line.encode("utf-8"))
        except OSError as error:
            error.filename = self._starts.path
            raise
        finally:
            os.close(descriptor)

    def last_run(self, digest: str) -> str | None:
        """The run of a digest that another session last started or ended since this object was
        made."""
        for line in self._starts.mappings():
            batch_id = line.get("batch_id")
            if is_plain(batch_id) and batch_id != self._batch_id:
                self._watched.add(batch_id)
        for batch_id in self._watched:
            tail = self._tails.get(batch_id)
            if tail is None:
                path = f"{self._root}/{SWEEP_FOLDER}/{batch_id}/{LEDGER_JSONL}"
                tail = self._tails[batch_id] = _Lines(path)
            for line in tail.mappings():
                if line.get("digest") and is_plain(line.get("run_id")):
                    self._last[line["digest"]] = line["run_id"]
        return self._last.get(digest)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0
