"""The delays between the attempts of a config; nothing holds a worker meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from argus_tasks.spec.retry import RetryPolicy


class RetryDelays:
    """Waits as long as the retry policy says; safe to use from many threads.

    Args:
        policy: how long to wait before which attempt.
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
        """Wait before this try, counted from 1, as the policy says, or until `end`."""
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
        """End all delays, now and from now on: the sweep is being stopped."""
        self._over.set()
