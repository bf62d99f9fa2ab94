"""What a batch's monitor has been told: `.sweep/<batch_id>/monitor.jsonl`, a line each end.

The lines have checksums as the ledger's have.

A line is written after its event is on the disk. So what has a line was told; what has none is told
by the next session. Without a monitor there is no such file.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import read_json_lines
from argus_tasks.runs.ledger.sweep_folder import checked_line

MONITOR_JSONL = "monitor.jsonl"


@dataclass(frozen=True, slots=True)
class ToldEnd:
    """The end of a job that the monitor was told of."""

    name: str
    attempt: int
    failed: bool


@dataclass(slots=True)
class ToldSoFar:
    """What the monitor knows of the batch that was told of last.

    Attributes:
        batch_id: its id on the monitor; None where nothing was told ever.
        closed: done or failed; None where it is open.
        sessions: the sweep's sessions that told of it.
        ends: by run id, the last end that was told.
    """

    batch_id: str | None = None
    closed: str | None = None
    sessions: set[str] = field(default_factory=set)
    ends: dict[str, ToldEnd] = field(default_factory=dict)


class ToldFile:
    """The file of one batch; made by the first line."""

    def __init__(self, folder: Path) -> None:
        self._path = os.fspath(folder / MONITOR_JSONL)
        self._descriptor = -1
        self._lock = threading.Lock()

    def opened(self, batch_id: str, session: str) -> None:
        """The batch is open, under this id."""
        self._append(event="opened", batch_id=batch_id, session=session)

    def ended(self, run_id: str, end: ToldEnd) -> None:
        """A job has ended."""
        self._append(
            event="ended", run_id=run_id, name=end.name, attempt=end.attempt, failed=end.failed
        )

    def closed(self, batch_id: str, how: str) -> None:
        """The batch is closed: done or failed. The last line of a session."""
        self._append(event="closed", batch_id=batch_id, how=how)
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def read(self) -> ToldSoFar:
        """What was told so far."""
        told = ToldSoFar()
        with suppress(OSError):
            for line in read_json_lines(self._path):
                event = line.get("event")
                if event == "opened":
                    if line.get("batch_id") != told.batch_id:
                        told = ToldSoFar(batch_id=str(line.get("batch_id")))
                    told.closed = None
                    told.sessions.add(str(line.get("session")))
                elif event == "closed":
                    told.closed = str(line.get("how"))
                elif event == "ended":
                    told.ends[str(line["run_id"])] = ToldEnd(
                        str(line.get("name")), int(line["attempt"]), bool(line.get("failed"))
                    )
        return told

    def _append(self, **facts: Any) -> None:
        line = checked_line({"at": utc_now_iso(), **facts}) + "\n"
        # On a full disk a line may be missing: the next session then tells again.
        with self._lock, suppress(OSError):
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o666)
            os.write(self._descriptor, line.encode())
