"""The parent's side: warm workers, leased one run at a time, each death named."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.sweep.attempt import Assignment, Outcome
from argus_tasks.sweep.isolation.protocol import (
    Closed,
    Ready,
    Setup,
    SetupFailed,
    dumps,
    receive,
    send,
    send_bytes,
)

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
# `-P` keeps the working folder off sys.path until the parent's own sys.path has arrived.
_BOOT = (
    "import sys; sys.path.append(sys.argv[3]);"
    "from argus_tasks.sweep.isolation.worker import main;"
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


class WorkerDied(ArgusTasksError):
    """A worker ended in the middle of a run. `cause` is `exit CODE` or `signal NAME`."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the worker process ended: {cause}")
        self.cause = cause


class Worker:
    """One worker process, from the parent's side; used by one thread at a time."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket, setup: Setup) -> None:
        self.process = process
        self._sock = sock
        self._setup = setup
        self._ready = False
        send(sock, setup)

    def run(self, assignment: bytes) -> Outcome:
        """Have it, once ready, run what `dumps(assignment)` gave.

        Errors: WorkerDied, and then the worker is of no more use.
        """
        try:
            send_bytes(self._sock, assignment)
            outcome: Outcome = receive(self._sock)
        except Closed:
            raise WorkerDied(self._named_death()) from None
        return outcome

    def wait_ready(self) -> None:
        """Wait until it has loaded the experiment.

        Errors: BadInput where it cannot; WorkerDied where that ends it.
        """
        if self._ready:
            return
        try:
            answer = receive(self._sock)
        except Closed:
            raise WorkerDied(self._named_death()) from None
        if isinstance(answer, SetupFailed):
            raise BadInput(
                f"the experiment cannot be loaded: {answer.error_type}: {answer.message}\n"
                f"{answer.stack}"
            )
        if not isinstance(answer, Ready):
            raise ArgusTasksError(f"a worker answered {answer!r}")
        self._ready = True

    def end(self, sign: signal.Signals) -> None:
        """Signal the worker and what it started: it is a session of its own."""
        try:
            os.killpg(self.process.pid, sign)
        except (ProcessLookupError, PermissionError):
            pass

    def close(self) -> None:
        """Hang up; an idle worker ends by itself, and is waited for."""
        self._sock.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            pass
        self.end(signal.SIGKILL)
        self.process.wait()

    def _named_death(self) -> str:
        try:
            code = self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # it closed the socket and lives: not a worker any more
            self.end(signal.SIGKILL)
            code = self.process.wait()
        self.end(signal.SIGKILL)  # what it started must not outlive it
        self._sock.close()
        if code < 0:
            try:
                return f"signal {signal.Signals(-code).name}"
            except ValueError:
                return f"signal {-code}"
        return f"exit {code}"


class WorkerPool:
    """At most `size` workers, started when first needed or by `warm`, kept warm between runs.

    `environment` is added to that of the workers.
    """

    def __init__(self, size: int, setup: Setup, environment: Mapping[str, str]) -> None:
        self._setup = setup
        self._environment = environment
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._spawner = _Spawner()
        for _ in range(size):
            self._idle.put(None)  # a place that has no worker yet

    def warm(self, count: int) -> None:
        """Start that many workers now, so that they load while the caller does other things."""
        started = [self._idle.get() or self._start() for _ in range(count)]
        for worker in started:
            self._idle.put(worker)

    def check(self) -> None:
        """Wait until a worker has loaded the experiment.

        Errors: BadInput where it cannot be loaded; WorkerDied where loading it kills a worker.
        """
        with self._leased() as worker:
            worker.wait_ready()

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Run on a free worker, waiting for one; None where it then `may_start` no more.

        Errors: as `check`; the place of a dead worker gets a new one when next needed.
        """
        data = dumps(assignment)
        with self._leased() as worker:
            worker.wait_ready()
            return worker.run(data) if may_start() else None

    @contextmanager
    def _leased(self) -> Iterator[Worker]:
        worker = self._idle.get()
        try:
            worker = worker or self._start()
            yield worker
        except BaseException:
            if worker is not None:
                self._forget(worker)
            self._idle.put(None)
            raise
        self._idle.put(worker)

    def end_all(self, sign: signal.Signals) -> None:
        """Signal every worker and what it started. No worker is started after this."""
        self._stopping.set()
        with self._lock:
            for worker in self._all:
                worker.end(sign)

    def close(self) -> None:
        """End the workers; those in the middle of a run are killed."""
        self._stopping.set()
        idle: list[Worker] = []
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                break
            if worker is not None:
                idle.append(worker)
        with self._lock:
            busy = self._all - set(idle)
            self._all.clear()
        for worker in busy:  # the thread that waits for it sees the end, and buries it
            worker.end(signal.SIGKILL)
        for worker in idle:
            worker.close()
        self._spawner.close()

    def _start(self) -> Worker:
        if self._stopping.is_set():
            raise WorkerDied("stopped")
        worker: Worker = self._spawner.call(self._spawn).result()
        with self._lock:
            self._all.add(worker)
        return worker

    def _spawn(self) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-X",
                    "faulthandler",
                    "-c",
                    _BOOT,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    _PACKAGE_ROOT,
                ],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment},
                pass_fds=(theirs.fileno(), self._setup.stop_descriptor),
                start_new_session=True,
            )
        return Worker(process, ours, self._setup)

    def _forget(self, worker: Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.close()


class _Spawner:
    """The thread that starts workers.

    The kernel ends a worker when the *thread* that started it ends, so that thread must live as
    long as the pool does; a task's thread may not.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._serve, name="argus-spawner", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run the function on this thread."""
        future: Future[Any] = Future()
        self._calls.put((function, future))
        return future

    def close(self) -> None:
        """End the thread."""
        self._calls.put(None)
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                future.set_exception(error)
