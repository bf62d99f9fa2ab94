"""The parent's side of the keeper: starts it, and has it fork and signal workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress

from argus_tasks.base.process_tree import kill_marked
from argus_tasks.base.processes import python_calling
from argus_tasks.base.server_login import environment_for_experiments
from argus_tasks.workers.isolation import keeper
from argus_tasks.workers.isolation.keeper import ALL_WORKERS, COMMAND, START

# An environment variable of all processes below the keeper, to find them if the keeper is killed.
MARK = "ARGUS_KEEPER"
_END_S = 15.0


class KeeperLost(Exception):
    """The keeper has ended, and with it its workers."""


class Keeper:
    """A running keeper; safe to use from many threads.

    Attributes:
        alive: False once it was found dead.
    """

    def __init__(self, environment: Mapping[str, str], inherited: int) -> None:
        self.alive = True
        self._lock = threading.Lock()
        self._count = 0
        self._mark = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                python_calling(keeper.__name__, theirs.fileno(), os.getpid(), inherited),
                stdin=subprocess.DEVNULL,
                env={**environment_for_experiments(), **environment, MARK: self._mark},
                pass_fds=(theirs.fileno(), inherited),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def start_worker(self) -> tuple[int, socket.socket, socket.socket]:
        """Start a worker.

        Returns:
            Its number, the socket for messages to it, and the socket on which the keeper reports
            its death.

        Raises:
            KeeperLost: if the keeper is gone.
        """
        channel, its_channel = socket.socketpair()
        death_channel, its_death_channel = socket.socketpair()
        with its_channel, its_death_channel, self._lock:
            self._count += 1
            number = self._count
            try:
                socket.send_fds(
                    self._control,
                    [COMMAND.pack(number, START)],
                    [its_channel.fileno(), its_death_channel.fileno()],
                )
            except OSError as error:
                channel.close()
                death_channel.close()
                raise KeeperLost from error
        return number, channel, death_channel

    def signal(self, sign: signal.Signals, number: int = ALL_WORKERS) -> None:
        """Signal one worker, or all, and every process that comes from them."""
        with self._lock, suppress(OSError):
            self._control.sendall(COMMAND.pack(number, sign))

    def lost(self) -> None:
        """Clean up after a keeper that was killed: reap it, and kill the processes that
        it managed."""
        with self._lock:
            first, self.alive = self.alive, False
            self._control.close()
        if not first:
            return
        self._process.kill()
        self._process.wait()
        kill_marked(MARK, self._mark)

    def close(self) -> None:
        """Close the connection, so that idle workers end by themselves; kill what is left, and wait
        for it."""
        with self._lock:
            self._control.close()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self.lost()
