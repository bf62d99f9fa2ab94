"""Has those that were refused ask again in a while, for what changes without telling anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Again:
    """Tells once, a while after it was asked to; asked meanwhile, it does not tell twice."""

    def __init__(self, after_s: float) -> None:
        self.tell: Callable[[], None] = lambda: None
        self._after_s = after_s
        self._lock = threading.Lock()
        self._asked = False

    def ask(self) -> None:
        """Have `tell` called in a while, from another thread."""
        with self._lock:
            if self._asked:
                return
            self._asked = True
        clock = threading.Timer(self._after_s, self._tell)
        clock.daemon = True
        clock.start()

    def _tell(self) -> None:
        with self._lock:
            self._asked = False
        self.tell()
