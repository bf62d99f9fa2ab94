"""`.sweep/<batch_id>/monitor.jsonl`: which ends of jobs and batches have been sent to the monitor.

A line is written after its event is in the outbox. An end that has no line is sent by the next
session. The lines have checksums, as the ledger's lines do. Without a monitor there is no such
file.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import open_to_append, read_json_lines
from argus_tasks.runs.ledger.sweep_folder import checked_line

MONITOR_JSONL = "monitor.jsonl"


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The end of a job, as it was sent to the monitor."""

    name: str
    attempt: int
    failed: bool


@dataclass(slots=True)
class MonitorState:
    """What has been sent to the monitor about the last batch.

    Attributes:
        batch_id: its id on the monitor; None where nothing was ever sent.
        closed: done or failed; None where it is open.
        sessions: the sweep's sessions that have opened it.
        ends: by run id, the last end that was sent.
    """

    batch_id: str | None = None
    closed: str | None = None
    sessions: set[str] = field(default_factory=set)
    ends: dict[str, JobEnd] = field(default_factory=dict)


class MonitorJournal:
    """The journal file of one batch; the first line creates it."""

    def __init__(self, folder: Path) -> None:
        self._path = os.fspath(folder / MONITOR_JSONL)
        self._descriptor = -1
        self._lock = threading.Lock()

    def opened(self, batch_id: str, session: str) -> None:
        """Record that the batch was opened on the monitor under this id."""
        self._append(event="opened", batch_id=batch_id, session=session)

    def ended(self, run_id: str, end: JobEnd) -> None:
        """Record that a job's end was sent."""
        self._append(
            event="ended", run_id=run_id, name=end.name, attempt=end.attempt, failed=end.failed
        )

    def closed(self, batch_id: str, how: str) -> None:
        """Record that the batch was closed as done or failed: the last line of a session."""
        self._append(event="closed", batch_id=batch_id, how=how)
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def read(self) -> MonitorState:
        """What has been sent so far."""
        sent = MonitorState()
        with suppress(OSError):
            for line in read_json_lines(self._path):
                event = line.get("event")
                if event == "opened":
                    if line.get("batch_id") != sent.batch_id:
                        sent = MonitorState(batch_id=str(line.get("batch_id")))
                    sent.closed = None
                    sent.sessions.add(str(line.get("session")))
                elif event == "closed":
                    sent.closed = str(line.get("how"))
                elif event == "ended":
                    sent.ends[str(line["run_id"])] = JobEnd(
                        str(line.get("name")), int(line["attempt"]), bool(line.get("failed"))
                    )
        return sent

    def _append(self, **facts: Any) -> None:
        line = checked_line({"at": utc_now_iso(), **facts}) + "\n"
        # On a full disk a line may be missing: the next session then sends the event again.
        with self._lock, suppress(OSError):
            if self._descriptor < 0:
                self._descriptor = open_to_append(self._path)
            os.write(self._descriptor, line.encode())
