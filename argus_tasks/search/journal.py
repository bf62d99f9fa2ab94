"""The file of a sweep's study, in the format of Optuna's journal.

Optuna's own writer flushes each of a trial's ten lines to the disk, and locks with a file that a
killed process leaves behind. Here the lock of the batch keeps other writers away, and what a killed
process has written is in the page cache. So a trial takes a tenth of the time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend


class StudyJournal(JournalFileBackend):
    """A journal that only this process writes; an incomplete last line, left by a crash, is
    removed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(str(path))
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        _cut_torn_line(self._descriptor)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, in one write."""
        texts = (json.dumps(line, separators=(",", ":")) for line in logs)
        data = "".join(f"{text}\n" for text in texts).encode("utf-8")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _cut_torn_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    start, tail = size, b""
    while start > 0 and b"\n" not in tail:
        step = min(start, 4096)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    end = start + tail.rfind(b"\n") + 1
    if end != size:
        os.ftruncate(descriptor, end)
