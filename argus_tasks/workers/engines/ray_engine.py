"""The Ray engine: uses Ray's own client from the threads of the flow's process.

Each slot is an actor: a process on some node that Ray neither restarts nor calls twice, and that
ends with the sweep's process.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.workers.engines.engine_messages import EngineLost, NodeLost, NodeSender
from argus_tasks.workers.engines.node import Nodes
from argus_tasks.workers.engines.ray_local import LocalRay

_CONTROL = "control"
_LOOK_S = 0.5
_LEAVE_S = 10.0


class RayNode:
    """The actor: it runs one attempt at a time, and receives messages to all nodes meanwhile."""

    def __init__(self) -> None:
        self._nodes = Nodes()

    def answer(self, sender: tuple[Any, ...], what: str, request: bytes) -> bytes:
        """Run a request, and return what `Nodes.answer` returns."""
        return self._nodes.answer(NodeSender(*sender), what, request, 1)

    def prepare(self, sender: tuple[Any, ...]) -> str:
        """Prepare this node. Return what is wrong with it; empty if nothing is."""
        return self._nodes.warm(NodeSender(*sender), 1)

    def receive(self, sweep: str, what: str, value: str | float | None) -> None:
        """Handle a message to all nodes with `Nodes.handle`."""
        self._nodes.handle(sweep, what, value)


class RayEngine:
    """A Ray cluster at an address; without an address, one that is started on this machine."""

    def __init__(self, address: str | None, runs_at_once: int) -> None:
        self._given = address
        self._runs_at_once = runs_at_once
        self._connected = False
        self._local: LocalRay | None = None
        self._lock = threading.Lock()
        self._actors: set[Any] = set()
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        self._over = False

    @property
    def place(self) -> str:
        """The engine and its address, for messages."""
        return f"ray at {self._given}" if self._given else "ray on this machine"

    def open(self) -> None:
        """Connect. Raises BadInput if nobody answers."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's future default; without it, Ray prints a warning at each start.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        known = sys.modules.get("ray")
        if known is None or not known.is_initialized():
            address = self._given
            if address is None:
                self._local = LocalRay(self._runs_at_once)
                address = self._local.address
                os.environ.update(self._local.environment)
            import ray  # not before: it reads them when it is imported

            try:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
            except Exception as error:
                raise BadInput(
                    f"address is '{address}', but no Ray cluster answers there:"
                    f" {_first_line(error)}."
                ) from error
            self._connected = True
        self._free = queue.LifoQueue()
        self._actors = {self._start() for _ in range(self._runs_at_once)}
        for actor in self._actors:
            self._free.put(actor)

    def prepare(self, sender: NodeSender, waiting: Callable[[], bool]) -> str:
        """Prepare the nodes, as `Engine.prepare` says."""
        import ray

        left = [actor.prepare.remote(astuple(sender)) for actor in self._actors]
        ready: list[Any] = []
        while waiting() and not ready:
            ready, left = ray.wait(left, num_returns=1, timeout=_LOOK_S)
        ready += ray.wait(left, num_returns=len(left), timeout=_LOOK_S)[0] if left else []
        for answer in ready:
            try:
                if wrong := ray.get(answer):
                    return str(wrong)
            except ray.exceptions.RayError as error:
                return f"a Ray worker cannot be used: {error}"
        return ""

    def ask(self, sender: NodeSender, what: str, request: bytes) -> bytes:
        """Send a request to any one node. Raises NodeLost, or EngineLost if the cluster is gone."""
        import ray

        if not ray.is_initialized():
            raise EngineLost(f"{self.place} is gone")
        actor = self._free.get()
        try:
            if self._over:
                raise NodeLost("stopped")
            pending = actor.answer.remote(astuple(sender), what, request)
            while True:
                done, _ = ray.wait([pending], timeout=_LOOK_S)
                if done:
                    answer: bytes = ray.get(pending)
                    return answer
                if self._over:
                    raise NodeLost("stopped")
        except ray.exceptions.RayActorError as error:
            with self._lock:
                self._actors.discard(actor)
            actor = self._start()
            with self._lock:
                self._actors.add(actor)
            raise NodeLost(f"a Ray worker is gone ({_first_line(error)})") from None
        except ray.exceptions.RayError as error:
            raise EngineLost(f"{self.place} is gone ({_first_line(error)})") from None
        finally:
            self._free.put(actor)

    def broadcast(self, sweep: str, what: str, value: str | float | None) -> None:
        """Send a message to every node; nodes that cannot be reached miss it."""
        import ray

        with self._lock:
            actors = list(self._actors)
        with suppress(Exception):
            heard = [actor.receive.remote(sweep, what, value) for actor in actors]
            ray.wait(heard, num_returns=len(heard), timeout=10.0)

    def abandon(self) -> None:
        """Stop waiting for answers."""
        self._over = True

    def close(self) -> None:
        """Disconnect from the cluster; end it if it was started here."""
        self.abandon()
        import ray

        if ray.is_initialized():
            for actor in self._actors:
                with suppress(Exception):
                    ray.kill(actor)
            if self._connected:
                thread = threading.Thread(target=ray.shutdown, daemon=True)
                thread.start()
                thread.join(_LEAVE_S)
        local, self._local = self._local, None
        if local is not None:
            local.close()

    def _start(self) -> Any:
        import ray

        actor = ray.remote(
            num_cpus=1,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={_CONTROL: 2},
        )(_with_control_group(RayNode))
        return actor.remote()


def _with_control_group(kind: type[RayNode]) -> type[RayNode]:
    """The class with `receive` in a thread group of its own, so that messages arrive
    during a run."""
    import ray

    class Node(kind):  # type: ignore[valid-type, misc]
        @ray.method(concurrency_group=_CONTROL)  # type: ignore[untyped-decorator]
        def receive(self, sweep: str, what: str, value: str | float | None) -> None:
            super().receive(sweep, what, value)

    return Node


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
