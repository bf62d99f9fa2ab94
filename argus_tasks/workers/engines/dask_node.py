"""The functions that run in a dask worker's process, as tasks and as broadcasts."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from argus_tasks.workers.engines.engine_messages import NodeSender
from argus_tasks.workers.engines.node import CLOSE, Nodes

_IDLE_S = 60.0
_LOOK_S = 0.5

_nodes = Nodes()


class _TaskWatch:
    """Watches the tasks of this dask worker, to notice when their sweep has been killed.

    When the sweep is killed, the scheduler forgets its tasks: they show as cancelled here, while
    their threads still run. Then the sweep's workers are ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[Any, tuple[str, Any]] = {}
        self._watching = False

    def watch(self) -> None:
        """Start the watching thread, once."""
        with self._lock:
            begun, self._watching = self._watching, True
        if not begun:
            threading.Thread(target=self._watch, name="argus-guard", daemon=True).start()

    def begin(self, key: Any, sweep: str, worker: Any) -> None:
        """Register a task that has begun."""
        with self._lock:
            self._keys[key] = (sweep, worker)

    def end(self, key: Any) -> None:
        """Remove a task that has ended."""
        with self._lock:
            self._keys.pop(key, None)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                keys = dict(self._keys)
            unwanted = {
                sweep for key, (sweep, worker) in keys.items() if not _is_wanted(key, worker)
            }
            for sweep in unwanted:
                _nodes.handle(sweep, CLOSE, None)
            _nodes.end_idle(_IDLE_S)


_task_watch = _TaskWatch()


def serve(sender: tuple[Any, ...], what: str, request: bytes) -> bytes:
    """A task: run a request, and return what `Nodes.answer` returns."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    asking = NodeSender(*sender)
    _task_watch.begin(key, asking.sweep, worker)
    _task_watch.watch()
    try:
        return _nodes.answer(asking, what, request, worker.state.nthreads)
    finally:
        _task_watch.end(key)


async def prepare(sender: tuple[Any, ...], dask_worker: Any) -> str:
    """A broadcast: prepare this node. Return what is wrong with it; empty if nothing is."""
    _task_watch.watch()
    return await asyncio.to_thread(_nodes.warm, NodeSender(*sender), dask_worker.state.nthreads)


async def receive(sweep: str, what: str, value: str | float | None) -> None:
    """A broadcast: handle a message to all nodes with `Nodes.handle`."""
    await asyncio.to_thread(_nodes.handle, sweep, what, value)


def _is_wanted(key: Any, worker: Any) -> bool:
    task = worker.state.tasks.get(key)
    return task is not None and task.state != "cancelled"
