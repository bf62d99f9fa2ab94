"""Calls a function after a delay, for resources that become free without notice."""

from __future__ import annotations

import threading
from collections.abc import Callable


class DelayedCall:
    """Calls `callback` once, `after_s` seconds after `schedule`; calls of `schedule` meanwhile do
    nothing."""

    def __init__(self, after_s: float) -> None:
        self.callback: Callable[[], None] = lambda: None
        self._after_s = after_s
        self._lock = threading.Lock()
        self._scheduled = False

    def schedule(self) -> None:
        """Have `callback` called after the delay, from another thread."""
        with self._lock:
            if self._scheduled:
                return
            self._scheduled = True
        clock = threading.Timer(self._after_s, self._notify)
        clock.daemon = True
        clock.start()

    def _notify(self) -> None:
        with self._lock:
            self._scheduled = False
        self.callback()
