"""The parent's handle of one worker process."""

from __future__ import annotations

import select
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.messages import Outcome
from argus_tasks.workers.isolation.death import Death, TimedOut, worker_died
from argus_tasks.workers.isolation.keeper_client import Keeper, KeeperLost
from argus_tasks.workers.isolation.protocol import (
    Closed,
    Outdated,
    Ready,
    Setup,
    SetupFailed,
    receive,
    send,
    send_bytes,
)

# The time between two checks of a limit that depends on the durations of other runs.
_LOOK_S = 1.0
_LEAVE_S = 2.0


class Worker:
    """One worker process. Only one thread uses it at a time, so the thread knows which process runs
    its attempt.

    Attributes:
        keeper: the keeper that forked it.
        environment: the environment variables that it has in addition to those of all workers.
        runs: the number of attempts that it was given.
        usable: whether it can be given another attempt.
    """

    def __init__(self, keeper: Keeper, setup: Setup) -> None:
        self.keeper = keeper
        self.environment = setup.environment
        self.runs = 0
        self.usable = True
        self._fresh = setup.fresh
        self._ready: Ready | None = None
        self._connected = True
        self._dead = False
        self._number, self._socket, self._death_socket = keeper.start_worker()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self._death_socket, select.POLLIN)
        with suppress(Closed):  # it has died already; the keeper reports how
            send(self._socket, setup)

    def wait_ready(self) -> None:
        """Wait until it has loaded the experiment.

        Raises:
            BadInput: if the experiment cannot be loaded.
            WorkerDied: if loading it ended the process.
            KeeperLost: if the keeper is gone.
        """
        if self._ready is not None:
            return
        self._wait_for_message(None)
        answer = self._receive_answer()
        if isinstance(answer, Death):
            raise worker_died(answer)
        if isinstance(answer, SetupFailed):
            self.usable = False
            raise BadInput(
                f"the experiment cannot be loaded: {answer.error_type}: {answer.message}\n"
                f"{answer.stack}"
            )
        if not isinstance(answer, Ready):
            raise ArgusTasksError(f"a worker answered {answer!r}")
        self._ready = answer

    def run(self, assignment: bytes, limit: TimeLimit, grace_s: float) -> Outcome | Outdated:
        """Run an attempt in the worker, which must be ready; Outdated if another worker must.

        Args:
            assignment: the pickled Assignment, made by `dumps`.
            limit: the time limit; when it is reached, the attempt gets a TERM.
            grace_s: the time in seconds from the TERM to a KILL.

        Raises:
            WorkerDied: if the process ended; TimedOut if the time limit was reached.
            KeeperLost: if the keeper is gone.
        """
        self.runs += 1
        assert self._ready is not None, "a worker is ready before it runs anything"
        if self._fresh and not self._ready.forks:
            self.usable = False  # its process is the attempt's own
        with suppress(Closed):  # it died while it was idle; the keeper reports how
            send_bytes(self._socket, assignment)
        over_s = self._wait(limit)
        if over_s is not None:
            self._end_attempt(grace_s)
        answer = self._receive_answer()
        if over_s is not None:
            # If the TERM has not ended the process yet, it would end the next attempt.
            met = isinstance(answer, Death) and answer.code == -signal.SIGTERM
            self.usable = self.usable and met
            raise TimedOut(over_s, answer.stack)
        if isinstance(answer, Death):
            raise worker_died(answer)
        if isinstance(answer, Outdated):
            self.usable = False
            return answer
        if not isinstance(answer, Outcome):
            raise ArgusTasksError(f"a worker answered {answer!r}")
        return answer

    def disconnect(self) -> None:
        """Close the connection: an idle worker then ends by itself, and what it has started is
        killed."""
        self._socket.close()
        self._death_socket.close()

    def close(self) -> None:
        """Close the connection, and wait until the process has ended; kill it if it does
        not end."""
        if not self._dead:
            if self._connected:
                self._connected = False
                self._poll.unregister(self._socket)
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if not self._wait_for_message(_LEAVE_S):
                self.kill()
                self._wait_for_message(_LEAVE_S)
        self.disconnect()

    def kill(self) -> None:
        """Kill it, and every process that comes from it."""
        self.keeper.signal(signal.SIGKILL, self._number)

    def _wait(self, limit: TimeLimit) -> float | None:
        """Wait for its message. Return None, or the limit in seconds if it was reached first."""
        if not limit:
            self._wait_for_message(None)
            return None
        began = time.monotonic()
        while True:
            limit_s = limit.seconds()
            left_s = None if limit_s is None else began + limit_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return limit_s
            wait_s = left_s
            if limit.moves:
                wait_s = _LOOK_S if left_s is None else min(left_s, _LOOK_S)
            if self._wait_for_message(wait_s):
                return None

    def _end_attempt(self, grace_s: float) -> None:
        self.keeper.signal(signal.SIGTERM, self._number)
        if not self._wait_for_message(grace_s):
            self.usable = False
            self.kill()
            self._wait_for_message(None)

    def _wait_for_message(self, wait_s: float | None) -> bool:
        """True as soon as the worker has sent a message, or the keeper has reported its death."""
        deadline = None if wait_s is None else time.monotonic() + wait_s
        while True:
            left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {descriptor for descriptor, _ in self._poll.poll(left_ms)}
            if not ready:
                return False
            if self._socket.fileno() in ready and not self._is_disconnected():
                return True
            if self._connected:
                # The experiment may have closed the socket, and may still be running.
                self._poll.unregister(self._socket)
                self._connected = self.usable = False
            if self._death_socket.fileno() in ready:
                return True

    def _is_disconnected(self) -> bool:
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _receive_answer(self) -> Any:
        """The message that has arrived; a Death if the process has ended."""
        try:
            if self._connected:
                return receive(self._socket)
        except Closed:
            self.usable = False
        self._dead = True
        try:
            return receive(self._death_socket)
        except Closed:
            raise KeeperLost from None
