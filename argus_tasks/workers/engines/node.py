"""Runs the attempts of a sweep on one node: a keeper and its workers, below the engine's process.

The engine's process only waits. Requests and answers are plain values and our own pickles, so the
engine need not understand them.
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

# The longest time until a file written on another host is visible here, with file system caches.
_SHARED_PATIENCE_S = 10.0
_LOOK_S = 0.2

LOAD = "load"
RUN = "run"
STOP = "stop"
SIGNAL = "signal"
LIMIT = "limit"
CLOSE = "close"


class RemoteTimeLimit(TimeLimit):
    """The time limit as the sweep's process sends it; only there are the durations of all runs
    known."""

    def __init__(self, limited: bool) -> None:
        super().__init__()
        self._limited = limited
        self._limit_s: float | None = None

    def __bool__(self) -> bool:
        return self._limited

    @property
    def moves(self) -> bool:
        """True if there may be a limit: only the sweep's process knows whether it changes."""
        return self._limited

    def set(self, limit_s: float | None) -> None:
        """Set the limit in seconds."""
        self._limit_s = limit_s

    def seconds(self) -> float | None:
        """The last limit that was sent, in seconds."""
        return self._limit_s


class Node:
    """The workers of one sweep on this node.

    Attributes:
        active_requests: the number of requests in progress.
        last_request: the time of the last request or answer, in seconds of the monotonic clock.
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
        """Execute an attempt that was not delivered before. Raises the errors of the pool."""
        try:
            accept_once(delivery)
        except OSError as error:
            return replace(outcome_of_exception(error, 0.0), unwritten=True)
        self.limit.set(delivery.limit_s)
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
        """Execute a request of a sweep.

        Args:
            sender: the sweep.
            what: the kind of request: `load` or `run`.
            request: a pickled Delivery, for `run`.
            size: the number of workers of the sweep on this node.

        Returns:
            What `dumps` makes of an Outcome, of None, or of the BadInput or WorkerDied that was
            raised.
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
        """Start a worker. Return what is wrong with this node; empty if nothing is."""
        try:
            with self._node_for(sender, size) as node:
                node.pool.warm(1)
        except (BadInput, WorkerDied) as error:
            return str(error)
        return ""

    def handle(self, sweep: str, what: str, value: str | float | None) -> None:
        """Handle a message that the sweep sends to all its nodes: `stop`, `signal`, `limit` or
        `close`."""
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
            node.limit.set(value if isinstance(value, float) else None)
        else:
            node.close()

    def end_idle(self, idle_s: float) -> None:
        """End the workers of sweeps that sent no request for so long; they are started again when
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
    """Read the sweep's setup from the results root, as it is on this node.

    Raises:
        BadInput: if this node has another results root or other versions.
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
    """Mark a delivery as accepted, in its run folder.

    Raises:
        WorkerDied: if it was accepted before: the engine has delivered it again because the first
            node is gone.
        OSError: if the folder cannot be written.
    """
    run_dir = delivery.assignment.key.run_dir
    os.makedirs(run_dir, exist_ok=True)  # noqa: PTH103 - text paths, as everywhere on this way
    try:
        os.close(os.open(delivery_file(run_dir, delivery.id), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        raise WorkerDied(causes.NODE_LOST, "the node that was running it is gone") from None


def delivery_file(run_dir: str, delivery_id: str) -> str:
    """The file that marks a delivery as accepted."""
    return f"{run_dir}/.claim-{delivery_id}"


def _own_sys_path(
    theirs: Iterable[str], libraries: Iterable[str], ours: Iterable[str]
) -> tuple[str, ...]:
    """The user's folders of the sweep's `sys.path`, followed by this Python's own libraries."""
    not_ours = tuple(libraries)
    users = [entry for entry in theirs if not entry.startswith(not_ours)]
    return tuple(dict.fromkeys((*users, *ours)))
