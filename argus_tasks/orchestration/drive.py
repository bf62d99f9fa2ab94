"""The flow's main loop: a window of submitted task runs, and what a stop does."""

from __future__ import annotations

import os
import queue
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture

from argus_tasks.sweep.plan import PlannedRun
from argus_tasks.sweep.session import SweepSession

Submit = Callable[[PlannedRun], PrefectFuture[Any]]

# One more than there are workers: the next task run is through Prefect's engine when one frees.
_AHEAD = 1
_TERM_TO_KILL_S = 1.0
_KILL_TO_LEAVE_S = 3.0


def drive(session: SweepSession, submit: Submit, admit: Callable[[int], None]) -> None:
    """Submit every config that is to be run, at most a window at once, until all have ended.

    `admit` is called with the number of task runs submitted so far before each further one; it
    may hold the flow back. A signal that Prefect or the user sends stops the session; what still
    runs after the grace is ended.
    """
    loop = _Loop(session, submit, admit)
    while not loop.finished:
        try:
            loop.turn()
        except TerminationSignal:
            # Prefect's runner asks so for a cancelled run; anybody's `kill` does too.
            loop.stop("Prefect" if "PREFECT__FLOW_RUN_ID" in os.environ else "user")
        except KeyboardInterrupt:
            loop.stop("user")


class _Loop:
    def __init__(self, session: SweepSession, submit: Submit, admit: Callable[[int], None]) -> None:
        self._session = session
        self._submit = submit
        self._admit = admit
        self._to_do = deque(session.plan.to_do)
        self._ended: queue.SimpleQueue[PrefectFuture[Any] | None] = queue.SimpleQueue()
        self._in_flight = 0
        self._submitted = 0
        self._window = session.request.workers + _AHEAD
        self._stopped_at: float | None = None
        self._termed_at: float | None = None
        self._killed_at: float | None = None
        session.on_pause = lambda: self._ended.put(None)

    @property
    def finished(self) -> bool:
        """True where nothing runs and nothing more is to be started, or nobody answers."""
        if self._killed_at is not None and time.monotonic() > self._killed_at + _KILL_TO_LEAVE_S:
            return True
        return not self._in_flight and (not self._to_do or self._session.stopping)

    def stop(self, by: str) -> None:
        """Stop the session; a second stop takes away the grace."""
        self._session.hurried = self._session.stopping
        self._session.stop(by)

    def turn(self) -> None:
        """Fill the window, then wait for an end, or for the next step of a stop."""
        session = self._session
        while (
            self._to_do
            and not session.stopping
            and self._in_flight - session.pausing < self._window
        ):
            self._admit(self._submitted)
            future = self._submit(self._to_do.popleft())
            self._in_flight += 1
            self._submitted += 1
            future.add_done_callback(self._ended.put)
        if self.finished:
            return
        try:
            ended = self._ended.get(timeout=0.05 if session.stopping else 0.5)
        except queue.Empty:
            ended = None
        if ended is not None:
            self._in_flight -= 1
        if session.stopping:
            self._wind_down()

    def _wind_down(self) -> None:
        now = time.monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
        grace_s = 0.0 if self._session.hurried else self._session.request.stop_grace_s
        if self._termed_at is None:
            if now >= self._stopped_at + grace_s:
                self._session.end_workers(now=False)
                self._termed_at = now
        elif self._killed_at is None and now >= self._termed_at + (
            0.0 if self._session.hurried else _TERM_TO_KILL_S
        ):
            self._session.end_workers(now=True)
            self._killed_at = now
