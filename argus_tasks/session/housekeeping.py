"""What a session does every now and then: look for `argus-tasks stop`, renew its claims."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from argus_tasks.runs.ledger.claims import RENEW_S
from argus_tasks.runs.ledger.stop_request import StopRequest, take_stop_request

LOOK_S = 0.25

log = logging.getLogger("argus_tasks")


class Housekeeper:
    """Runs these on a thread of its own.

    Args:
        folder: the batch's, where a stop is asked for.
        on_stop: called with each request to stop.
        look: called each time that the thread looks for one.
        renew: touches the claims; False where one was lost.
        on_lost: called then.
    """

    def __init__(
        self,
        folder: str,
        *,
        on_stop: Callable[[StopRequest], None],
        look: Callable[[], object],
        renew: Callable[[], bool],
        on_lost: Callable[[], None],
        look_s: float = LOOK_S,
        renew_s: float = RENEW_S,
    ) -> None:
        self._folder = folder
        self._on_stop = on_stop
        self._look = look
        self._renew = renew
        self._on_lost = on_lost
        self._look_s = look_s
        self._renew_s = renew_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="argus-housekeeping", daemon=True)

    def start(self) -> None:
        """Start the thread. A stop that was asked for before was for an earlier session."""
        take_stop_request(self._folder)
        self._thread.start()

    def close(self) -> None:
        """End the thread, started or not."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        renewed = time.time()
        while not self._over.wait(self._look_s):
            request = take_stop_request(self._folder)
            if request is not None:
                self._on_stop(request)
            self._look()
            # The wall clock: a machine that has slept must look at once.
            if abs(time.time() - renewed) < self._renew_s:
                continue
            renewed = time.time()
            try:
                if not self._renew():
                    self._on_lost()
            except OSError as error:
                log.warning("claims cannot be renewed: %s", error)
