"""How long an attempt may take: seconds, or a multiple of what the others took."""

from __future__ import annotations

import re
import threading
from bisect import insort

from argus_tasks.base.errors import BadInput

# Before this many attempts have succeeded, a median says nothing about the next one.
ENOUGH = 3
# A multiple of a moment would end attempts for a hiccup of the machine.
LEAST_S = 1.0
_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x")


class TimeLimit:
    """The limit of a sweep's attempts; false where there is none. Safe to use from many threads.

    Args:
        timeout_s: seconds.
        timeout: `5x`: so many times the median of the attempts that have succeeded.
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
        """True where it depends on other attempts, and may change while one is waited for."""
        return self._factor is not None

    def succeeded(self, duration_s: float) -> None:
        """An attempt has succeeded in this time."""
        if self._factor is not None:
            with self._lock:
                insort(self._durations, duration_s)

    def seconds(self) -> float | None:
        """The limit as it is now; None while there is none."""
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
    """The 5 of `5x`. Errors: BadInput where it is not above 1."""
    found = _FACTOR.fullmatch(timeout) if isinstance(timeout, str) else None
    if found is None or float(found[1]) <= 1:
        raise BadInput(
            f"timeout is {timeout!r}; expected a multiple of the median duration, above 1x,"
            " such as '5x' (timeout_s takes seconds)."
        )
    return float(found[1])
