"""A script's process and its descendants: started, read from, terminated, waited for."""

from __future__ import annotations

import atexit
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from argus_tasks.base.process_tree import signal_tree
from argus_tasks.experiments.script_memory import ScriptMemory
from argus_tasks.runs.record.process_usage import ProcessUsage

_LOOK_S = 0.1
_SHORTEST_LOOK_S = 0.001
_CHUNK = 64 * 1024


class ScriptProcess:
    """One script. As a context manager, it kills what still runs at the end.

    The script leads a session of its own, so it does not get a Ctrl-C on the terminal; with
    `attached`, it uses this process's terminal.

    Attributes:
        code: its exit code, or the negative number of the signal that ended it; None while it runs.
        usage: the CPU time and memory of it and the processes it has waited for; None while it
            runs.
    """

    def __init__(
        self, words: Sequence[str], cwd: str, environment: Mapping[str, str], *, attached: bool
    ) -> None:
        self.code: int | None = None
        self.usage: ProcessUsage | None = None
        self._terminated_at: float | None = None
        self._own_grace_s: float | None = None
        self._killed = False
        self._process = subprocess.Popen(
            words,
            cwd=cwd,
            env=environment,
            stdin=None if attached else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=not attached,
        )
        _running[self._process.pid] = os.getpid()
        self._memory = ScriptMemory(self._process.pid)

    @property
    def is_terminating(self) -> bool:
        """Whether it has been sent a TERM."""
        return self._terminated_at is not None

    def terminate(self, grace_s: float | None = None) -> None:
        """Send a TERM, once, to it and its descendants.

        Args:
            grace_s: the time in seconds to a KILL, used if `follow` has none.
        """
        if self._terminated_at is None:
            self._own_grace_s = grace_s
            self._terminated_at = time.monotonic()
            signal_tree(self._process.pid, signal.SIGTERM)

    def follow(
        self, take: Callable[[int, bytes], None], look: Callable[[], None], grace_s: float | None
    ) -> None:
        """Read its output until it has ended.

        Args:
            take: called with the number of the stream and the data.
            look: called every tenth of a second, and more often at first.
            grace_s: the time in seconds from a TERM to a KILL; None if somebody else kills it.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as pipes:
            for number, pipe in ((1, self._process.stdout), (2, self._process.stderr)):
                os.set_blocking(pipe.fileno(), False)
                pipes.register(pipe, selectors.EVENT_READ, number)
            pause_s = _SHORTEST_LOOK_S
            while True:
                self._memory.look()
                for key, _ in pipes.select(pause_s) if pipes.get_map() else ():
                    data = _read(key.fd)
                    if data:
                        take(key.data, data)
                    elif data is not None:
                        pipes.unregister(key.fileobj)
                # Its children may hold the pipes open, so only the end of the script counts.
                if self._ended():
                    break
                look()
                self._kill_if_overdue(grace_s)
                if not pipes.get_map():
                    time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LOOK_S)
            for key in list(pipes.get_map().values()):
                while data := _read(key.fd):
                    take(key.data, data)

    def end(self, grace_s: float) -> None:
        """End it: send a TERM, and a KILL `grace_s` seconds later."""
        self.terminate()
        deadline = time.monotonic() + grace_s
        while not self._ended() and time.monotonic() < deadline:
            time.sleep(_LOOK_S / 10)
        self.kill()

    def kill(self) -> None:
        """Kill it and its descendants, and reap it."""
        if self.code is None:
            signal_tree(self._process.pid, signal.SIGKILL)
            while not self._ended():
                time.sleep(_SHORTEST_LOOK_S)

    def __enter__(self) -> ScriptProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _kill_if_overdue(self, grace_s: float | None) -> None:
        grace_s = self._own_grace_s if grace_s is None else grace_s
        if self._terminated_at is None or grace_s is None or self._killed:
            return
        if time.monotonic() >= self._terminated_at + grace_s:
            self._killed = True
            signal_tree(self._process.pid, signal.SIGKILL)

    def _ended(self) -> bool:
        if self.code is not None:
            return True
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.usage = self._memory.usage(usage)
        _running.pop(pid, None)
        # Kill what the script has left running in its process group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return True


def _read(descriptor: int) -> bytes | None:
    """The available data; empty at the end of the stream, None if there is none now."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


def kill_running() -> None:
    """Kill all scripts of this process, also those that run on abandoned threads."""
    for pid, parent in list(_running.items()):
        if parent == os.getpid():
            signal_tree(pid, signal.SIGKILL)


_running: dict[int, int] = {}
atexit.register(kill_running)
