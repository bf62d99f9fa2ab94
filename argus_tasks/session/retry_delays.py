"""The waits between the tries of a config, which hold no worker."""

from __future__ import annotations

import threading
from collections.abc import Callable

from argus_tasks.spec.retry import RetryPolicy


class Pauses:
    """As long as the policy says; safe to use from many threads.

    Attributes:
        count: how many configs wait now.
        on_pause: called when one starts to wait.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.count = 0
        self.on_pause: Callable[[], None] = lambda: None
        self._policy = policy
        self._lock = threading.Lock()
        self._over = threading.Event()

    def before(self, try_number: int) -> None:
        """Wait as the policy says before this try, from 1; a stop ends the wait."""
        delay_s = self._policy.delay_after(try_number - 1) if try_number > 1 else 0.0
        if delay_s <= 0:
            return
        with self._lock:
            self.count += 1
        self.on_pause()
        try:
            self._over.wait(delay_s)
        finally:
            with self._lock:
                self.count -= 1

    def end(self) -> None:
        """There is a stop: nobody waits any more."""
        self._over.set()
