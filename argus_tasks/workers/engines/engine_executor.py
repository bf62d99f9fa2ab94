"""Runs attempts on the nodes of a cluster."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import PRIVATE, write_bytes_whole
from argus_tasks.planning.request import SweepRequest
from argus_tasks.runs.record import causes
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.attempts.stop_flag import StopFlag
from argus_tasks.workers.engines.engine_messages import (
    Delivery,
    EngineLost,
    NodeLost,
    NodeSender,
    NodeSetup,
    own_libraries,
    own_versions,
)
from argus_tasks.workers.engines.node import CLOSE, LIMIT, LOAD, RUN, SIGNAL, STOP, delivery_file
from argus_tasks.workers.isolation.death import WorkerDied
from argus_tasks.workers.isolation.protocol import Setup, dumps

_LOOK_S = 0.1
_CLOSE_TIMEOUT_S = 10.0
_KILL_TO_ABANDON_S = 1.0


class Engine(Protocol):
    """A cluster of nodes. Safe to use from many threads."""

    @property
    def place(self) -> str:
        """The engine and its address, for messages."""

    def open(self) -> None:
        """Connect, or connect again. Raises BadInput if nobody answers."""

    def prepare(self, sender: NodeSender, waiting: Callable[[], bool]) -> str:
        """Wait for a first node, and have every node get ready.

        Returns:
            What is wrong with the first node that cannot be used; empty if all can, or if `waiting`
            returned False meanwhile.
        """

    def ask(self, sender: NodeSender, what: str, request: bytes) -> bytes:
        """Send a request to any one node, at most once, and return what `node.Nodes.answer` returns
        there.

        Raises:
            NodeLost: if the node is gone.
            EngineLost: if the engine is gone.
            BadInput: if the node lacks the package.
        """

    def broadcast(self, sweep: str, what: str, value: str | float | None) -> None:
        """Send a message to every node, for `node.Nodes.handle`; nodes that cannot be reached miss
        it."""

    def abandon(self) -> None:
        """Stop waiting for answers."""

    def close(self) -> None:
        """Disconnect from the cluster; end it if the sweep started it."""


class EngineExecutor:
    """Runs at most `workers` attempts at the same time, on the nodes that the engine chooses.

    A node has a keeper and workers, as this machine would.
    """

    def __init__(
        self,
        request: SweepRequest,
        engine: Engine,
        setup: Setup,
        environment: Mapping[str, str],
        stop: StopFlag,
        limit: TimeLimit,
    ) -> None:
        node_setup = NodeSetup(
            setup,
            dict(environment),
            own_libraries(),
            request.execution.stop_grace_s,
            bool(limit),
            request.execution.max_runs_per_worker,
        )
        self._data = dumps(node_setup)
        sweep = uuid.uuid4().hex
        self._file = request.results_root / ".sweep" / f"nodes-{sweep}"
        self._sender = NodeSender(
            sweep,
            str(self._file),
            hashlib.sha256(self._data).hexdigest(),
            own_versions(),
            socket.gethostname(),
        )
        self._engine = engine
        self._stop = stop
        self._limit = limit
        self._slots = threading.BoundedSemaphore(request.workers)
        self._lock = threading.Lock()
        self._opened: Future[None] | None = None
        self._checking = threading.Lock()
        self._checked = False
        self._made: list[Path] = []
        self._gone = ""
        self._openings = 0
        self._ending = threading.Event()
        self._closed = threading.Event()

    def warm(self, count: int) -> None:
        """Start to connect to the cluster."""
        with self._lock:
            if self._opened is not None or not count:
                return
            self._opened = Future()
        threading.Thread(target=self._open, args=(self._opened,), daemon=True).start()

    def check(self) -> None:
        """Wait until the cluster answers, shares the results root, and has loaded the experiment.

        Raises:
            BadInput: if one of these fails.
        """
        with self._checking:
            if not self._checked:
                self._check()
                self._checked = True

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Execute on a node, once a slot is free.

        Raises:
            WorkerDied: with the cause `node lost` if the node is gone.
            BadInput: as `check`.
        """
        with self._slots:
            self.check()
            if not may_start():
                return None
            delivery = Delivery(assignment, uuid.uuid4().hex, self._limit.seconds())
            try:
                answer = self._ask(RUN, dumps(delivery))
            finally:
                with suppress(OSError):
                    os.unlink(delivery_file(assignment.key.run_dir, delivery.id))  # noqa: PTH108
        assert isinstance(answer, Outcome), "an attempt has an outcome"
        return answer

    def root_pid(self) -> int | None:
        """None: experiments run on other machines."""

    def drop_idle(self, environment: Mapping[str, str]) -> None:
        """Do nothing: nodes end their idle workers themselves."""

    def end_all(self, sign: signal.Signals) -> None:
        """Signal every worker on every node; after a KILL, wait for them only a moment longer."""
        self._ending.set()
        self._broadcast(SIGNAL, sign.name)
        if sign == signal.SIGKILL:
            timer = threading.Timer(_KILL_TO_ABANDON_S, self._engine.abandon)
            timer.daemon = True
            timer.start()

    def close(self) -> None:
        """End what runs, disconnect from the cluster, and remove the files that were written for
        it."""
        if self._closed.is_set():
            return
        self._ending.set()
        self._closed.set()
        if self._opened is not None:
            with suppress(BaseException):  # whoever waited for it has seen it
                self._opened.result()
            self._broadcast(CLOSE, None).join(_CLOSE_TIMEOUT_S)
            self._engine.close()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()

    def _open(self, opened: Future[None]) -> None:
        try:
            self._engine.open()
        except BaseException as error:  # noqa: BLE001 - it is the waiting thread's to see
            opened.set_exception(error)
        else:
            opened.set_result(None)

    def _check(self) -> None:
        self.warm(1)
        assert self._opened is not None
        self._opened.result()
        self._write_setup()
        wrong = self._engine.prepare(self._sender, lambda: not self._stop.is_set())
        if wrong:
            raise BadInput(wrong)
        if not self._stop.is_set():
            self._ask(LOAD, b"")
        threading.Thread(target=self._relay, name="argus-engine", daemon=True).start()

    def _write_setup(self) -> None:
        """Write the setup under the results root; that nodes find it there shows that the root is
        shared."""
        folder = self._file.parent
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._made = missing
            write_bytes_whole(self._file, self._data, mode=PRIVATE)
        except OSError as error:
            raise BadInput(
                f"results_root is '{self._file.parents[1]}'; expected a folder that can be"
                f" written to: {error.strerror}."
            ) from error

    def _ask(self, what: str, request: bytes) -> object:
        """Send a request to a node, and return its answer. Raises WorkerDied or BadInput."""
        if self._gone:
            raise WorkerDied(causes.NODE_LOST, self._gone)
        opening = self._openings
        try:
            answer = pickle.loads(self._engine.ask(self._sender, what, request))
        except NodeLost as lost:
            if self._ending.is_set():
                raise WorkerDied("stopped") from None
            if isinstance(lost, EngineLost):
                self._open_again(opening)
            raise WorkerDied(causes.NODE_LOST, f"{lost}, in the middle of a run") from None
        if isinstance(answer, BadInput | WorkerDied):
            raise answer
        return answer

    def _open_again(self, opening: int) -> None:
        """Connect again, once for all threads that noticed the loss; remember a failure."""
        with self._lock:
            if opening != self._openings or self._gone or self._ending.is_set():
                return
            try:
                self._engine.open()
            except BadInput as error:
                self._gone = str(error)
            else:
                self._openings += 1

    def _broadcast(self, what: str, value: str | float | None) -> threading.Thread:
        """Send a message to all nodes from a new thread, so that a node that does not answer blocks
        nobody."""
        thread = threading.Thread(
            target=self._engine.broadcast, args=(self._sender.sweep, what, value), daemon=True
        )
        thread.start()
        return thread

    def _relay(self) -> None:
        """Send a stop, and changes of the time limit, to all nodes."""
        stop_sent = False
        sent_s = self._limit.seconds()
        while not self._closed.wait(_LOOK_S):
            if self._stop.is_set() and not stop_sent:
                stop_sent = True
                self._broadcast(STOP, self._stop.by())
            limit_s = self._limit.seconds() if self._limit.moves else sent_s
            if limit_s != sent_s:
                sent_s = limit_s
                self._broadcast(LIMIT, limit_s)
