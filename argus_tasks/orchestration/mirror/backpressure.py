"""Holds a sweep back before Prefect's server drops its events.

The broker in the server's memory holds 10,000 events and drops the rest without a word. Real jobs
come nowhere near; a sweep of quick ones is held back now and then. The server is asked on a thread
of its own, rarely, and only by a sweep that is far ahead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from argus_tasks.orchestration.prefect_api.prefect_server import ServerAway, without_retries

log = logging.getLogger("argus_tasks.mirror")

BROKER_EVENTS = 10_000
WINDOW_EVENTS = 0.4 * BROKER_EVENTS
"""Of all sweeps on the server together: other things send events too, and the last count is old."""
SMALLEST_WINDOW_EVENTS = 500.0
MOST_SHARING = 8
"""Sweeps that were killed count as running until somebody repairs them."""
CATCH_UP_S = 20.0
"""A server that lags gets no more ahead of it than it can record in this time."""
PATIENCE_S = 15.0
ASK_EVERY_S = 0.5
ASK_WHEN_GIVEN_UP_S = 5.0
LAST_ASK_S = 10.0


class Backpressure:
    """Holds the flow back when it is too far ahead.

    `recorded` counts the flow run's ended task runs on the server, `sharing` the sweeps that run
    there; both may raise ServerAway. `events_a_run` is what a task run costs in events,
    `stopping` tells that nobody should be held back any more.
    """

    def __init__(
        self,
        recorded: Callable[[], int],
        sharing: Callable[[], int],
        events_a_run: Callable[[int], float],
        stopping: Callable[[], bool] = lambda: False,
        *,
        patience_s: float = PATIENCE_S,
        window_events: float = WINDOW_EVENTS,
    ) -> None:
        self._recorded_now = recorded
        self._sharing = sharing
        self._events_a_run = events_a_run
        self._stopping = stopping
        self._patience_s = patience_s
        self._whole_window = window_events
        self._window = window_events
        self._submitted = 0
        self._recorded = 0
        self._passed_over = 0
        self._given_up = False
        self._told = False
        self._closed = False
        self._changed = threading.Condition()
        self._asking: threading.Thread | None = None
        self.held_s = 0.0

    def admit(self, submitted: int) -> None:
        """Return when one more task run may be submitted after so many."""
        self._submitted = submitted
        if self._ahead_events() < self._window / 4:
            return
        self._ask_on_a_thread()
        if self._given_up or self._ahead_events() < self._window:
            return
        begun = time.monotonic()
        with self._changed:
            while (
                not self._given_up
                and not self._closed
                and not self._stopping()
                and self._ahead_events() >= self._window
            ):
                self._changed.wait(0.2)
        self.held_s += time.monotonic() - begun

    def close(self) -> None:
        """Hold nobody back any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _ahead_events(self) -> float:
        runs = self._submitted - self._recorded - self._passed_over
        return runs * self._events_a_run(self._submitted)

    def _ask_on_a_thread(self) -> None:
        if self._asking is None or not self._asking.is_alive():
            context = copy_context()
            self._asking = threading.Thread(
                target=context.run, args=(self._ask,), name="argus-tasks-mirror", daemon=True
            )
            self._asking.start()

    def _ask(self) -> None:
        with without_retries():
            begun = progress_at = time.monotonic()
            first: int | None = None
            near_since: float | None = None
            while not self._closed:
                now = time.monotonic()
                try:
                    recorded = self._recorded_now()
                    sharing = min(max(1, self._sharing()), MOST_SHARING)
                except ServerAway:
                    recorded, sharing = self._recorded, 1
                if first is None:
                    first = recorded
                if recorded > self._recorded:
                    progress_at = now
                    self._given_up = False
                elif self._ahead_events() < self._window:
                    progress_at = now  # nobody waits for it
                with self._changed:
                    self._recorded = max(recorded, self._recorded)
                    behind = max(0, self._submitted - self._recorded)
                    self._passed_over = min(self._passed_over, behind)
                    self._window = self._window_for(sharing, recorded - first, now - begun)
                    if now - progress_at >= self._patience_s and not self._given_up:
                        self._give_up()
                    self._changed.notify_all()
                if self._ahead_events() >= self._window / 4:
                    near_since = None
                elif near_since is None:
                    near_since = now
                elif now - near_since > LAST_ASK_S:
                    return
                with self._changed:
                    self._changed.wait(ASK_WHEN_GIVEN_UP_S if self._given_up else ASK_EVERY_S)

    def _window_for(self, sharing: int, recorded: int, seconds: float) -> float:
        window = self._whole_window / sharing
        if seconds > 5:
            rate = recorded * self._events_a_run(self._submitted) / seconds
            window = min(window, rate * CATCH_UP_S)
        return max(window, min(SMALLEST_WINDOW_EVENTS, self._whole_window))

    def _give_up(self) -> None:
        """It is stuck, away, or has dropped what it was sent: the experiments matter more."""
        behind = self._submitted - self._recorded - self._passed_over
        self._given_up = True
        self._passed_over += max(0, behind)
        if not self._told:
            self._told = True
            log.warning(
                "Prefect's server has recorded nothing for %.0f s (%d task runs behind): the sweep "
                "goes on without waiting for it, and puts it right at the end",
                self._patience_s,
                behind,
            )
