"""The keeper: a small process between a sweep and its workers, so that no process outlives them.

It forks the workers, waits for them, and is the subreaper of all that they start. Each living
worker is the subreaper of its own descendants. So a child of the keeper that is not a worker was
left behind by a dead worker, and is killed. When the parent dies, for whatever reason, the keeper
kills everything below it, and ends. It has one thread, and never loads the experiment.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from argus_tasks.base.process_tree import (
    inherit_orphans,
    kill_descendants,
    kill_strays,
    signal_tree,
)
from argus_tasks.workers.isolation.evidence import Evidence
from argus_tasks.workers.isolation.protocol import Closed, send
from argus_tasks.workers.isolation.worker import main as worker_main

# A command: the worker's number (0: all of them), and the signal for it (0: fork it).
COMMAND = struct.Struct("<Ii")
ALL_WORKERS = 0
START = 0
# Added to `oom_score_adj`, so that the kernel kills a worker rather than the sweep.
_OOM_SCORE = 200
_IDLE_END_S = 2.0
_KILL_PATIENCE_S = 10.0
# Without a pidfd, the time between two checks whether the parent is alive.
_LOOK_S = 0.5


@dataclass(slots=True)
class _WorkerProcess:
    pid: int
    death_channel: socket.socket
    evidence: Evidence


def main(descriptor: int, parent: int, inherited: int) -> NoReturn:
    """Manage workers for the parent until the parent closes the connection or dies.

    Args:
        descriptor: the socket on which commands arrive.
        parent: the process id of the parent.
        inherited: a file descriptor that the workers inherit.
    """
    control = socket.socket(fileno=descriptor)
    for own in (descriptor, inherited):
        os.set_inheritable(own, False)
    inherit_orphans()
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    keeper = _Keeper(control, parent)
    keeper.serve()
    os._exit(0)


class _Keeper:
    def __init__(self, control: socket.socket, parent: int) -> None:
        self._control = control
        self._parent = parent
        self._workers: dict[int, _WorkerProcess] = {}
        self._over = False
        self._woken, self._waker = os.pipe()
        for descriptor in (self._woken, self._waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_term)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._parent_watch = _open_pidfd(parent)
        if self._parent_watch is not None:
            self._poll.register(self._parent_watch, select.POLLIN)

    def serve(self) -> None:
        """Execute the parent's commands, and reap dead workers."""
        look_ms = None if self._parent_watch is not None else _LOOK_S * 1000
        while not self._over and os.getppid() == self._parent:
            for descriptor, _ in self._poll.poll(look_ms):
                if descriptor == self._woken:
                    with suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                elif descriptor == self._control.fileno():
                    self._handle_command()
                else:
                    self._over = True
            self._reap()
        self._end()

    def _on_term(self, *_: object) -> None:
        self._over = True

    def _handle_command(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 2)
        except OSError:
            data, descriptors = b"", []
        if len(data) < COMMAND.size:
            self._over = True
            return
        number, sign = COMMAND.unpack(data)
        if sign == START:
            self._fork(number, *(socket.socket(fileno=each) for each in descriptors))
            return
        for each, worker in self._workers.items():
            if number in (ALL_WORKERS, each):
                signal_tree(worker.pid, signal.Signals(sign))

    def _fork(self, number: int, channel: socket.socket, death_channel: socket.socket) -> None:
        evidence = Evidence()
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._close_keeper_files()
                death_channel.close()
                _raise_oom_score()
                worker_main(channel, keeper, evidence)
            finally:
                os._exit(1)
        channel.close()
        self._workers[number] = _WorkerProcess(pid, death_channel, evidence)

    def _close_keeper_files(self) -> None:
        """In a worker: close the keeper's own files."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        for descriptor in (self._woken, self._waker, self._parent_watch):
            if descriptor is not None:
                os.close(descriptor)
        for worker in self._workers.values():
            worker.death_channel.close()
            worker.evidence.close()

    def _reap(self) -> None:
        """Reap dead workers, kill what they left behind, then report each death to the parent."""
        dead = []
        anybody = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            anybody = True
            for number, worker in list(self._workers.items()):
                if worker.pid == pid:
                    dead.append((self._workers.pop(number), status, usage))
        if anybody:
            kill_strays({worker.pid for worker in self._workers.values()})
        for worker, status, usage in dead:
            with suppress(Closed):
                send(worker.death_channel, worker.evidence.of_death(status, usage))
            worker.death_channel.close()
            worker.evidence.close()

    def _end(self) -> None:
        """Kill everything below; if the parent lives, only after workers had a moment to end by
        themselves."""
        if os.getppid() == self._parent:
            clock = select.poll()
            clock.register(self._woken, select.POLLIN)
            left = int(_IDLE_END_S * 1000)
            while self._workers and left > 0 and os.getppid() == self._parent:
                clock.poll(50)
                left -= 50
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
        kill_descendants(_KILL_PATIENCE_S)


def _open_pidfd(pid: int) -> int | None:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _raise_oom_score() -> None:
    own = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        own.write_text(str(min(1000, int(own.read_text()) + _OOM_SCORE)))
