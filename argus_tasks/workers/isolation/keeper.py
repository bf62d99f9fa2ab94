"""The keeper: a small process between a sweep and its workers, so that nothing outlives either.

It forks the workers, waits for them, and is the subreaper of all they start. Each living worker is
the subreaper of its own descendants, so whoever turns up as the keeper's child, and is no worker,
was left behind by a dead one: it is killed. When the parent dies, whatever killed it, the keeper
kills everything below it, and ends. It has one thread and never loads the experiment.
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
# Added to how readily the kernel kills a process for memory: a worker rather than the sweep.
_OOM_SCORE = 200
_IDLE_END_S = 2.0
_KILL_PATIENCE_S = 10.0
# Parents that go on do not always notice the end of their keeper; it is looked for this often.
_LOOK_S = 0.5


@dataclass(slots=True)
class _Kept:
    pid: int
    line: socket.socket
    evidence: Evidence


def main(descriptor: int, parent: int, inherited: int) -> NoReturn:
    """Keep workers for the parent until it hangs up or dies.

    `descriptor` is the socket that commands come by, `inherited` a file for the workers.
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
        self._kept: dict[int, _Kept] = {}
        self._over = False
        self._woken, self._waker = os.pipe()
        for descriptor in (self._woken, self._waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._told_to_end)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._parent_watch = _open_pidfd(parent)
        if self._parent_watch is not None:
            self._poll.register(self._parent_watch, select.POLLIN)

    def serve(self) -> None:
        """Obey the parent, bury the dead."""
        look_ms = None if self._parent_watch is not None else _LOOK_S * 1000
        while not self._over and os.getppid() == self._parent:
            for descriptor, _ in self._poll.poll(look_ms):
                if descriptor == self._woken:
                    with suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                elif descriptor == self._control.fileno():
                    self._obey()
                else:
                    self._over = True
            self._bury()
        self._end()

    def _told_to_end(self, *_: object) -> None:
        self._over = True

    def _obey(self) -> None:
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
        for each, kept in self._kept.items():
            if number in (ALL_WORKERS, each):
                signal_tree(kept.pid, signal.Signals(sign))

    def _fork(self, number: int, talk: socket.socket, line: socket.socket) -> None:
        evidence = Evidence()
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._let_go()
                line.close()
                _offer_to_the_oom_killer()
                worker_main(talk, keeper, evidence)
            finally:
                os._exit(1)
        talk.close()
        self._kept[number] = _Kept(pid, line, evidence)

    def _let_go(self) -> None:
        """In a worker: what is the keeper's alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        for descriptor in (self._woken, self._waker, self._parent_watch):
            if descriptor is not None:
                os.close(descriptor)
        for kept in self._kept.values():
            kept.line.close()
            kept.evidence.close()

    def _bury(self) -> None:
        """Tell the parent of each worker that has died, once nothing of it is left."""
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
            for number, kept in list(self._kept.items()):
                if kept.pid == pid:
                    dead.append((self._kept.pop(number), status, usage))
        if anybody:
            kill_strays({kept.pid for kept in self._kept.values()})
        for kept, status, usage in dead:
            with suppress(Closed):
                send(kept.line, kept.evidence.of_death(status, usage))
            kept.line.close()
            kept.evidence.close()

    def _end(self) -> None:
        """Leave nothing behind: at once where the parent is dead, else after a moment for the
        workers to see that it has hung up."""
        if os.getppid() == self._parent:
            clock = select.poll()
            clock.register(self._woken, select.POLLIN)
            left = int(_IDLE_END_S * 1000)
            while self._kept and left > 0 and os.getppid() == self._parent:
                clock.poll(50)
                left -= 50
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._bury()
        kill_descendants(_KILL_PATIENCE_S)


def _open_pidfd(pid: int) -> int | None:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _offer_to_the_oom_killer() -> None:
    own = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        own.write_text(str(min(1000, int(own.read_text()) + _OOM_SCORE)))
