"""One worker process, from the side of the sweep's process."""

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
    Ready,
    Setup,
    SetupFailed,
    receive,
    send,
    send_bytes,
)

# A limit that depends on other runs' durations is looked at anew this often.
_LOOK_S = 1.0
_LEAVE_S = 2.0


class Worker:
    """Used by one thread at a time, which so knows exactly which process holds its run.

    Attributes:
        keeper: who has forked it.
        environment: what its environment has besides that of the others.
        runs: how many attempts it has been given.
        usable: it can be given another.
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
        with suppress(Closed):  # it has died already: whoever waits for its answer is told how
            send(self._socket, setup)

    def wait_ready(self) -> None:
        """Wait until it has loaded the experiment.

        Errors: BadInput where it cannot; WorkerDied where that ends it; KeeperLost.
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

    def run(self, assignment: bytes, limit: TimeLimit, grace_s: float) -> Outcome:
        """Have it, once ready, run what `dumps(assignment)` gave.

        After the limit it gets a TERM, and a KILL `grace_s` later.

        Errors: WorkerDied (TimedOut after the limit); KeeperLost.
        """
        self.runs += 1
        assert self._ready is not None, "a worker is ready before it runs anything"
        if self._fresh and not self._ready.forks:
            self.usable = False  # its process is the attempt's own
        with suppress(Closed):  # it has died while it was idle: the keeper tells how
            send_bytes(self._socket, assignment)
        over_s = self._wait(limit)
        if over_s is not None:
            self._end_attempt(grace_s)
        answer = self._receive_answer()
        if over_s is not None:
            # A TERM that has not ended anything yet would meet the next attempt.
            met = isinstance(answer, Death) and answer.code == -signal.SIGTERM
            self.usable = self.usable and met
            raise TimedOut(over_s, answer.stack)
        if isinstance(answer, Death):
            raise worker_died(answer)
        if not isinstance(answer, Outcome):
            raise ArgusTasksError(f"a worker answered {answer!r}")
        return answer

    def disconnect(self) -> None:
        """Let it go: an idle worker ends by itself, and what it has started is killed then."""
        self._socket.close()
        self._death_socket.close()

    def close(self) -> None:
        """Let it go, and wait until it is gone; a KILL helps."""
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
        """End it and everything that comes from it."""
        self.keeper.signal(signal.SIGKILL, self._number)

    def _wait(self, limit: TimeLimit) -> float | None:
        """Wait for its answer; the limit in seconds, where that came first."""
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
        """True as soon as the worker, or the keeper in its place, has something to say."""
        deadline = None if wait_s is None else time.monotonic() + wait_s
        while True:
            left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {descriptor for descriptor, _ in self._poll.poll(left_ms)}
            if not ready:
                return False
            if self._socket.fileno() in ready and not self._is_disconnected():
                return True
            if self._connected:
                # An experiment that closes descriptors it does not know may still be running.
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
        """What it says, once it `_answers`; a Death where its process has ended."""
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
