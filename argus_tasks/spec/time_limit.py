"""The time limit of attempts: seconds, or a multiple of the median duration."""

from __future__ import annotations

import re
import threading
from bisect import insort

from argus_tasks.base.errors import BadInput

# The median is used from this many successful attempts on.
ENOUGH = 3
# The shortest limit: a multiple of a very short duration would end attempts for a short delay.
LEAST_S = 1.0
_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x")


class TimeLimit:
    """The time limit of a sweep's attempts; false if there is none. Safe to use from many threads.

    Args:
        timeout_s: the limit in seconds.
        timeout: the limit as a multiple of the median duration of the attempts that have succeeded:
            `5x`.
    """

    def __init__(self, timeout_s: float | None = None, timeout: str | None = None) -> None:
        self._timeout_s = timeout_s
        self._factor = None if timeout is None else factor_of(timeout)
        self._lock = threading.Lock()
        self._durations: list[float] = []

    def __bool__(self) -> bool:
        return self._timeout_s is not None or self._factor is not None

    @property
    def moves(self) -> bool:
        """Whether the limit depends on other attempts, and so may change while an attempt runs."""
        return self._factor is not None

    def succeeded(self, duration_s: float) -> None:
        """Take the duration of an attempt that has succeeded into account."""
        if self._factor is not None:
            with self._lock:
                insort(self._durations, duration_s)

    def seconds(self) -> float | None:
        """The present limit in seconds; None while there is none."""
        relative = self._relative()
        if relative is None or self._timeout_s is None:
            return self._timeout_s if relative is None else relative
        return min(relative, self._timeout_s)

    def _relative(self) -> float | None:
        if self._factor is None:
            return None
        with self._lock:
            count = len(self._durations)
            if count < ENOUGH:
                return None
            middle = (self._durations[(count - 1) // 2] + self._durations[count // 2]) / 2
        return max(LEAST_S, self._factor * middle)


def factor_of(timeout: str) -> float:
    """The number 5 of `5x`. Raises BadInput if it is not above 1."""
    found = _FACTOR.fullmatch(timeout) if isinstance(timeout, str) else None
    if found is None or float(found[1]) <= 1:
        raise BadInput(
            f"timeout is {timeout!r}; expected a multiple of the median duration, above 1x,"
            " such as '5x' (timeout_s takes seconds)."
        )
    return float(found[1])
