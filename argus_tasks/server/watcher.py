"""Decides when the embedded server ends, on a thread of the server's own process."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from argus_tasks.base import locks
from argus_tasks.server.folder import Folder

IDLE_S = 10.0
"""Seconds without a user after which the server ends, once everything is recorded."""
LIMIT_S = 60.0
"""Seconds without a user after which the server ends in any case."""
QUIET_S = 3.0
"""Seconds without a write (three flushes) after which everything counts as recorded."""
TICK_S = 0.5
MAX_LOG_BYTES = 5_000_000


class RecordedProbe:
    """Tests whether the server has recorded everything that was sent to it."""

    def __init__(self, database: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._seen: object = None
        self._since = clock()

    def recorded(self) -> bool:
        """True where no event waits and the tables have not grown for `QUIET_S`; call it
        repeatedly."""
        now = self._clock()
        seen = self._written()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since >= QUIET_S and not waiting_events()

    def _written(self) -> object:
        try:
            with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
                return database.execute(
                    "SELECT (SELECT max(rowid) FROM task_run_state),"
                    " (SELECT max(rowid) FROM events),"
                    " (SELECT max(rowid) FROM flow_run_state),"
                    " (SELECT max(rowid) FROM log)"
                ).fetchone()
        except sqlite3.Error:
            return None


def waiting_events() -> int:
    """The number of events in Prefect's in-memory broker; 0 where this Prefect has no such broker
    (the tables alone then decide)."""
    broker = sys.modules.get("prefect.server.utilities.messaging.memory")
    try:
        topics = list(broker.Topic._topics.values())  # type: ignore[union-attr]
        return sum(
            subscription._queue.qsize() + subscription._retry.qsize()
            for topic in topics
            for subscription in list(topic._subscriptions)
        )
    except AttributeError:
        return 0


class Watcher(threading.Thread):
    """Calls `end` once: when no process uses the server any more, or when it was asked to stop."""

    def __init__(
        self,
        folder: Folder,
        instance: str,
        database: Path,
        end: Callable[[], None],
        *,
        idle_s: float = IDLE_S,
        limit_s: float = LIMIT_S,
    ) -> None:
        super().__init__(name="argus-tasks-watcher", daemon=True)
        self._folder = folder
        self._instance = instance
        self._end = end
        self._idle_s = idle_s
        self._limit_s = limit_s
        self._recorded = RecordedProbe(database)
        self._stop_asked = threading.Event()

    def ask_to_stop(self) -> None:
        """End the server as soon as everything is recorded, also while a process uses it."""
        self._stop_asked.set()

    def run(self) -> None:
        """Check twice a second whether to end."""
        holds: locks.HoldProbe | None = None
        with suppress(OSError):
            holds = locks.HoldProbe(self._folder.hold_lock)
        wanted_at = time.monotonic()

        def wanted() -> bool:
            held = holds is not None and holds.held()
            return held or self._folder.kept_instance() == self._instance

        while not self._stop_asked.wait(TICK_S):
            _shorten(self._folder.log)
            now = time.monotonic()
            if wanted():
                wanted_at = now
                continue
            recorded = self._recorded.recorded()
            unwanted_s = now - wanted_at
            over = unwanted_s >= self._limit_s or (unwanted_s >= self._idle_s and recorded)
            if over and self._withdrawn(unless=wanted, unused=True):
                self._end()
                return
        self._drain()
        self._end()

    def _withdrawn(self, unless: Callable[[], bool], *, unused: bool) -> bool:
        """Remove the server's record, so that no new process uses it; returns False where one
        started to use it meanwhile. A folder that has vanished or is full counts as removed."""
        try:
            with locks.exclusive(self._folder.start_lock):
                if unless():
                    return False
                self._folder.withdraw(self._instance, unused=unused)
        except OSError:
            return not unless()
        return True

    def _drain(self) -> None:
        self._withdrawn(unless=lambda: False, unused=False)
        deadline = time.monotonic() + self._limit_s
        while not self._recorded.recorded() and time.monotonic() < deadline:
            time.sleep(TICK_S)


def _shorten(log: Path) -> None:
    """Empty the log to keep it small; it is open for appending, so the next line starts at 0."""
    with suppress(OSError):
        if log.stat().st_size > MAX_LOG_BYTES:
            os.truncate(log, 0)
