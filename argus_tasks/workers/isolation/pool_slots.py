"""The slots of a pool: each is in use, or free, with or without an idle worker in it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from argus_tasks.workers.isolation.worker_handle import Worker


class WorkerSlots:
    """Safe to use from many threads; the thread that waits longest is served first."""

    def __init__(self, count: int) -> None:
        self._free: list[Worker | None] = [None] * count
        self._changed = threading.Condition()

    def take(self, environment: Mapping[str, str]) -> Worker | None:
        """Wait for a free slot, and take it.

        The slot has, in this order of preference, an idle worker of this environment (the last
        used), no worker, or the worker that has been idle longest.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            for at in range(len(self._free) - 1, -1, -1):
                worker = self._free[at]
                if worker is not None and worker.environment == environment:
                    return self._free.pop(at)
            if None in self._free:
                self._free.remove(None)
                return None
            return self._free.pop(0)

    def put(self, worker: Worker | None) -> None:
        """Free a slot, with this idle worker in it, or with none."""
        with self._changed:
            self._free.append(worker)
            self._changed.notify()

    def take_idle(self, environment: Mapping[str, str]) -> Worker | None:
        """Take the idle worker of this environment out of its slot, which stays free."""
        with self._changed:
            for at, worker in enumerate(self._free):
                if worker is not None and worker.environment == environment:
                    self._free[at] = None
                    return worker
        return None

    def clear(self) -> list[Worker]:
        """Take all idle workers out of their slots, which stay free."""
        with self._changed:
            idle = [worker for worker in self._free if worker is not None]
            self._free = [None] * len(self._free)
        return idle
