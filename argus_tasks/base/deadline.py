"""A time that many waits share."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """So many seconds from now on."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + limit_s

    def left_s(self) -> float:
        """How many seconds are left; 0 when it is over."""
        return max(0.0, self._ends_at - self._clock())

    def share(self, most_s: float) -> float:
        """How long one of the waits may take: `most_s`, or what is left."""
        return min(most_s, self.left_s())

    def progressed(self) -> None:
        """What is waited for has come nearer. A deadline stands all the same."""


class ReservedDeadline(Deadline):
    """Another deadline, less what those that come after need of it."""

    def __init__(self, whole: Deadline, reserve_s: float) -> None:
        self._whole = whole
        self._reserve_s = reserve_s

    def left_s(self) -> float:
        """How many seconds are left; 0 when it is over."""
        return max(0.0, self._whole.left_s() - self._reserve_s)

    def progressed(self) -> None:
        """What is waited for has come nearer."""
        self._whole.progressed()
