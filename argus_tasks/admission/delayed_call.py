"""Has those that were refused ask again in a while, for what changes without telling anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable


class DelayedCall:
    """Tells once, a while after it was asked to; asked meanwhile, it does not tell twice."""

    def __init__(self, after_s: float) -> None:
        self.callback: Callable[[], None] = lambda: None
        self._after_s = after_s
        self._lock = threading.Lock()
        self._scheduled = False

    def schedule(self) -> None:
        """Have `tell` called in a while, from another thread."""
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
