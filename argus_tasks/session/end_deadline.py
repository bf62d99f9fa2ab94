"""How long the end of a session may take: one deadline, shared by all that is waited for there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from argus_tasks.base.deadline import Deadline

NORMAL_S = 10.0
"""After the last run: for Prefect's server, the monitor, the plots, together."""
MOST_S = 120.0
"""The same while the server records more and more of the sweep."""
STOPPED_S = 4.5
"""After a stop, beyond the grace: with its default of 2 s the process is gone within 8."""
HURRIED_S = 1.0
"""After a second interrupt: the process is gone within 2."""


class EndDeadline(Deadline):
    """A deadline that is infinitely far until `begin`, `stopped` or `hurried` is called."""

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(math.inf, clock)
        self._grace_s = grace_s
        self._most_at = math.inf
        self._is_stopped = False

    def begin(self) -> None:
        """Start the clock: all runs have ended. A second call changes nothing."""
        if self._most_at == math.inf:
            self._most_at = self._clock() + MOST_S
            self._bring_forward(NORMAL_S)

    def progressed(self) -> None:
        """Give Prefect's server its time again, since it has recorded more; not after a stop."""
        if not self._is_stopped:
            self._ends_at = min(self._clock() + NORMAL_S, self._most_at)

    def allow(self, more_s: float) -> None:
        """Add so many seconds for something that must be done first; not after a stop."""
        if not self._is_stopped:
            self._ends_at += more_s

    def stopped(self) -> None:
        """Bring it forward: somebody has stopped the sweep."""
        self._is_stopped = True
        self._bring_forward(self._grace_s + STOPPED_S)

    def hurried(self) -> None:
        """Bring it forward again: they have asked a second time."""
        self._is_stopped = True
        self._bring_forward(HURRIED_S)

    def _bring_forward(self, limit_s: float) -> None:
        self._ends_at = min(self._ends_at, self._clock() + limit_s)
