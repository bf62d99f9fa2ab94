"""A deadline that several waits share."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A point in time, `limit_s` seconds from now."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + limit_s

    def left_s(self) -> float:
        """How many seconds are left; 0 when it is over."""
        return max(0.0, self._ends_at - self._clock())

    def share(self, most_s: float) -> float:
        """How long one wait may take: `most_s`, or the time that is left if that is less."""
        return min(most_s, self.left_s())

    def progressed(self) -> None:
        """Record progress of what is waited for. It does not move a deadline."""


class ReservedDeadline(Deadline):
    """An earlier deadline, which leaves `reserve_s` seconds of another one to later waits."""

    def __init__(self, whole: Deadline, reserve_s: float) -> None:
        self._whole = whole
        self._reserve_s = reserve_s

    def left_s(self) -> float:
        """How many seconds are left; 0 when it is over."""
        return max(0.0, self._whole.left_s() - self._reserve_s)

    def progressed(self) -> None:
        """Record progress of what is waited for."""
        self._whole.progressed()
