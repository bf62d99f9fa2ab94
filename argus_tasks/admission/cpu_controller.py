"""Decides how many experiments the CPUs have room for, from measurements of their usage."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from argus_tasks.admission.cpu_usage import CpuUsage

WINDOW_S = 1.0
SETTLE_S = 1.0
"""The time in seconds after which a start shows in the measurements."""
MEMORY_S = 8.0
"""The time in seconds over which the cost of an experiment is averaged."""
KEEP_PCT = 3.0
"""An ended experiment may be replaced up to this much over the threshold: measurements vary."""


class Start:
    """One experiment, from its start to its end."""

    __slots__ = ("at", "proven")

    def __init__(self, at: float) -> None:
        self.at = at
        self.proven = False


class Controller:
    """Keeps the CPU usage under a threshold by holding back starts.

    What other processes use is the total usage minus that of the experiments. The cost of one
    experiment is the usage of all experiments divided by their number. So the usage after one more
    start is known beforehand. A start is unproven until it shows in the measurements; at most as
    many starts are unproven as have been proven before, so that an unexpectedly high cost is
    noticed in time.

    Args:
        threshold_pct: the threshold of the CPU usage in percent.
        workers: the largest number of experiments.
        cores: the number of cores; an experiment is expected to use one until it has been measured.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        threshold_pct: float,
        workers: int,
        cores: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold_pct = threshold_pct
        self._workers = workers
        self._first_guess_pct = 100.0 / cores
        self._clock = clock
        self._lock = threading.Lock()
        self._window: deque[CpuUsage] = deque()
        self._unproven: deque[Start] = deque()
        self._running = 0
        self._proven = 0
        self._seen = 0
        self._spent = 0.0
        self._run_s = 0.0
        self._area_s = 0.0
        self._area_at = clock()
        self._fits = 1
        self.busy_pct = 0.0

    def began(self) -> Start:
        """Register the start of an experiment."""
        with self._lock:
            self._pass_time()
            start = Start(self._clock())
            self._running += 1
            self._unproven.append(start)
            return start

    def ended(self, start: Start) -> None:
        """Register the end of an experiment."""
        with self._lock:
            self._pass_time()
            self._running -= 1
            self._prove()
            if start.proven:
                self._proven -= 1
            else:
                self._unproven.remove(start)
                self._seen += 1

    def observe(self, usage: CpuUsage) -> None:
        """Take a new measurement into account."""
        with self._lock:
            self._pass_time()
            self._window.append(usage)
            while len(self._window) > 1 and (
                sum(one.span_s for one in self._window) - self._window[0].span_s >= WINDOW_S
            ):
                self._window.popleft()
            area_s, self._area_s = self._area_s, 0.0
            if usage.own_pct is not None:
                fade = max(0.0, 1.0 - usage.span_s / MEMORY_S)
                self._spent = self._spent * fade + usage.own_pct * usage.span_s
                self._run_s = self._run_s * fade + area_s
            self._update()

    @property
    def allowed(self) -> int:
        """The number of experiments that may run now; at least one."""
        with self._lock:
            self._prove()
            return max(1, min(self._fits, self._proven + max(1, self._seen), self._workers))

    @property
    def reason(self) -> str:
        """Why no more than `allowed` may run."""
        busy, threshold = f"CPU {self.busy_pct:.0f} %", f"{self._threshold_pct:g} %"
        if self._fits > self.allowed:
            return f"{busy}, the last start has yet to show"
        if self.busy_pct > self._threshold_pct:
            return f"{busy} over {threshold}"
        return f"{busy}, one more would go over {threshold}"

    def _update(self) -> None:
        span_s = sum(one.span_s for one in self._window)
        busy = sum(one.busy_pct * one.span_s for one in self._window) / span_s
        guess = min(busy, self._running * self._first_guess_pct)  # where the own usage is unknown
        own = sum(
            (guess if one.own_pct is None else one.own_pct) * one.span_s for one in self._window
        )
        own /= span_s
        self.busy_pct = busy
        known = self._run_s >= WINDOW_S / 4
        cost = self._spent / self._run_s if known else self._first_guess_pct
        room = self._threshold_pct - max(0.0, busy - own)
        more, same = _fit(room, cost), _fit(room + KEEP_PCT, cost)
        self._fits = max(1, more, min(self._fits, same))

    def _prove(self) -> None:
        seen_by = self._clock() - SETTLE_S
        while self._unproven and self._unproven[0].at <= seen_by:
            self._unproven.popleft().proven = True
            self._proven += 1
            self._seen += 1

    def _pass_time(self) -> None:
        now = self._clock()
        self._area_s += self._running * (now - self._area_at)
        self._area_at = now


_MOST = 1_000_000


def _fit(room_pct: float, cost_pct: float) -> int:
    if room_pct <= 0:
        return 0
    return int(min(_MOST, room_pct / cost_pct + 1e-9)) if cost_pct > 0 else _MOST
