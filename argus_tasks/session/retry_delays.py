"""The waits between the tries of a config, which hold no worker."""

from __future__ import annotations

import threading
from collections.abc import Callable

from argus_tasks.spec.retry import RetryPolicy


class RetryDelays:
    """As long as the policy says; safe to use from many threads.

    Args:
        policy: how long.
        on_wait: called when a config starts to wait.

    Attributes:
        count: how many configs wait now.
    """

    def __init__(self, policy: RetryPolicy, on_wait: Callable[[], None]) -> None:
        self.count = 0
        self._on_wait = on_wait
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
        self._on_wait()
        try:
            self._over.wait(delay_s)
        finally:
            with self._lock:
                self.count -= 1

    def end(self) -> None:
        """Nobody waits any more: there is a stop."""
        self._over.set()
