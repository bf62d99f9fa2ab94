"""A sweep on one node: a keeper and its workers, in whatever process the engine gives us there.

The engine's process only waits. What it is asked and answers are plain values and pickles of our
own, so that an engine never has to understand what it carries.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.runs.record import causes
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.attempt import outcome_of_exception
from argus_tasks.workers.attempts.messages import Outcome
from argus_tasks.workers.attempts.stop_flag import StopFlag
from argus_tasks.workers.engines.engine_messages import (
    Delivery,
    NodeSender,
    NodeSetup,
    own_versions,
)
from argus_tasks.workers.isolation.death import WorkerDied
from argus_tasks.workers.isolation.pool import WorkerPool
from argus_tasks.workers.isolation.protocol import dumps

# How long a file that was written elsewhere may take to be seen here: caches of file systems.
_SHARED_PATIENCE_S = 10.0
_LOOK_S = 0.2

LOAD = "load"
RUN = "run"
STOP = "stop"
SIGNAL = "signal"
LIMIT = "limit"
CLOSE = "close"


class RemoteTimeLimit(TimeLimit):
    """The limit as the sweep's process tells it: only there are the other runs' durations known."""

    def __init__(self, limited: bool) -> None:
        super().__init__()
        self._limited = limited
        self._limit_s: float | None = None

    def __bool__(self) -> bool:
        return self._limited

    @property
    def moves(self) -> bool:
        """It may: only the sweep's process knows."""
        return self._limited

    def tell(self, limit_s: float | None) -> None:
        """It is so many seconds from now on."""
        self._limit_s = limit_s

    def seconds(self) -> float | None:
        """As last told."""
        return self._limit_s


class Node:
    """One sweep's workers here.

    Attributes:
        asked: how many requests it is busy with.
        last_asked: when a request last came or was answered.
    """

    def __init__(self, node_setup: NodeSetup, size: int) -> None:
        self.stop = StopFlag()
        self.limit = RemoteTimeLimit(node_setup.limited)
        self.active_requests = 0
        self.last_request = time.monotonic()
        setup = replace(
            node_setup.setup,
            stop_descriptor=self.stop.descriptor,
            sys_path=_own_sys_path(node_setup.setup.sys_path, node_setup.libraries, sys.path),
        )
        self.pool = WorkerPool(
            size,
            setup,
            node_setup.environment,
            limit=self.limit,
            grace_s=node_setup.grace_s,
            max_runs=node_setup.max_runs,
        )

    def run(self, delivery: Delivery) -> Outcome:
        """Execute an attempt that nobody has been given before. Errors: as the pool's."""
        try:
            accept_once(delivery)
        except OSError as error:
            return replace(outcome_of_exception(error, 0.0), unwritten=True)
        self.limit.tell(delivery.limit_s)
        outcome = self.pool.run(delivery.assignment, lambda: True)
        assert outcome is not None, "it may start"
        return outcome

    def close(self) -> None:
        """End the workers, and what they run."""
        self.pool.close()
        self.stop.close()


class Nodes:
    """The sweeps that this process serves; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, Node] = {}
        self._ended: dict[str, None] = {}

    def answer(self, sender: NodeSender, what: str, request: bytes, size: int) -> bytes:
        """Do what the sweep asks; `size` is how much of it at once.

        The answer is `dumps` of an Outcome, of None, or of the BadInput or WorkerDied that came
        of it.
        """
        answer: object = None
        try:
            with self._node_for(sender, size) as node:
                if what == LOAD:
                    node.pool.check()
                else:
                    answer = node.run(pickle.loads(request))
        except (BadInput, WorkerDied) as error:
            answer = error
        return dumps(answer)

    def warm(self, sender: NodeSender, size: int) -> str:
        """Start a worker, and say what is wrong with this node; empty where nothing is."""
        try:
            with self._node_for(sender, size) as node:
                node.pool.warm(1)
        except (BadInput, WorkerDied) as error:
            return str(error)
        return ""

    def tell(self, sweep: str, what: str, value: str | float | None) -> None:
        """Hear what the sweep tells all its nodes: `stop`, `signal`, `limit` or `close`."""
        with self._lock:
            node = self._nodes.get(sweep)
            if what == CLOSE:
                self._ended[sweep] = None
                self._nodes.pop(sweep, None)
        if node is None:
            return
        if what == STOP:
            node.stop.set(str(value))
        elif what == SIGNAL:
            node.pool.end_all(signal.Signals[str(value)])
        elif what == LIMIT:
            node.limit.tell(value if isinstance(value, float) else None)
        else:
            node.close()

    def end_idle(self, idle_s: float) -> None:
        """Let workers go that have had nothing to do for so long; they are started again when
        needed."""
        before = time.monotonic() - idle_s
        with self._lock:
            idle = [
                sweep
                for sweep, node in self._nodes.items()
                if not node.active_requests and node.last_request < before
            ]
            ended = [self._nodes.pop(sweep) for sweep in idle]
        for node in ended:
            node.close()

    @contextmanager
    def _node_for(self, sender: NodeSender, size: int) -> Iterator[Node]:
        node_setup: NodeSetup | None = None
        while True:
            with self._lock:
                if sender.sweep in self._ended:
                    raise WorkerDied("stopped")
                node = self._nodes.get(sender.sweep)
                if node is None and node_setup is not None:
                    node = self._nodes[sender.sweep] = Node(node_setup, size)
                if node is not None:
                    node.active_requests += 1
                    break
            node_setup = read_setup(sender)  # it may take a while: not under the lock
        try:
            yield node
        finally:
            with self._lock:
                node.active_requests -= 1
                node.last_request = time.monotonic()


def read_setup(sender: NodeSender, patience_s: float = _SHARED_PATIENCE_S) -> NodeSetup:
    """The sweep's setup, from the results root as it is here.

    Errors: BadInput where the results root is another one here, or the versions differ.
    """
    for what, theirs, ours in zip(
        ("argus-tasks", "Python"), sender.versions, own_versions(), strict=True
    ):
        if theirs != ours:
            raise BadInput(
                f"the node {socket.gethostname()} has {what} {ours}, the sweep on {sender.host}"
                f" has {theirs}; expected the same on both."
            )
    file = Path(sender.setup_file)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            data = file.read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() == sender.sha256:
            node_setup: NodeSetup = pickle.loads(data)
            return node_setup
        if time.monotonic() > deadline:
            raise BadInput(
                f"results_root is not shared: what {sender.host} writes to"
                f" '{file.parents[1]}' is not seen by the node {socket.gethostname()};"
                " expected a folder on a file system that both have at this path, as the same user."
            )
        time.sleep(_LOOK_S)


def accept_once(delivery: Delivery) -> None:
    """Make this sending of an attempt one's own, in its run folder.

    Errors: WorkerDied where somebody had it before: the engine has sent it again because that
    one's node is gone. OSError where the folder cannot be written.
    """
    run_dir = delivery.assignment.key.run_dir
    os.makedirs(run_dir, exist_ok=True)  # noqa: PTH103 - text paths, as everywhere on this way
    try:
        os.close(os.open(delivery_file(run_dir, delivery.id), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        raise WorkerDied(causes.NODE_LOST, "the node that was running it is gone") from None


def delivery_file(run_dir: str, delivery_id: str) -> str:
    """The file by which a sending is claimed."""
    return f"{run_dir}/.claim-{delivery_id}"


def _own_sys_path(
    theirs: Iterable[str], libraries: Iterable[str], ours: Iterable[str]
) -> tuple[str, ...]:
    """The user's folders as the sweep's process has them, then this Python's own libraries."""
    not_ours = tuple(libraries)
    users = [entry for entry in theirs if not entry.startswith(not_ours)]
    return tuple(dict.fromkeys((*users, *ours)))
