"""Locks that die with their process, whatever kills it, and that a fork does not inherit.

POSIX record locks (`fcntl.lockf`): closing any descriptor of a locked file drops its lock, so a
lock file is opened here and nowhere else, and what this process holds is remembered.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system without file locks says."""
_BUSY = frozenset({errno.EACCES, errno.EAGAIN})

# What this process holds: whether having it proves anything, by path.
_held: dict[str, bool] = {}
_held_guard = threading.Lock()


class ProcessLock:
    """One lock file. Not reentrant: a second one on the same path in this process is refused."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._descriptor = -1
        self._pid = 0
        self.proves = True
        """False where the file system has no locks, so that having it says nothing."""

    @property
    def held(self) -> bool:
        """Whether this process holds it through this object."""
        return self._descriptor >= 0 and self._pid == os.getpid()

    def take(self) -> bool:
        """Try once. A file system without locks counts as taken (`argus-tasks doctor` tells).

        Errors: OSError where the file cannot be opened.
        """
        if self.held:
            return True
        with _held_guard:
            if self._path in _held:
                return False
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    os.close(descriptor)
                    if error.errno in _BUSY:
                        return False
                    error.filename = self._path
                    raise
                self.proves = False
            _held[self._path] = self.proves
            self._descriptor, self._pid = descriptor, os.getpid()
            return True

    def give_back(self, *, remove: bool = False) -> None:
        """Let go; `remove` deletes the file first. Does nothing where it is not held."""
        if not self.held:
            return
        with _held_guard:
            if remove:
                with suppress(OSError):
                    os.unlink(self._path)  # noqa: PTH108
            os.close(self._descriptor)
            self._descriptor = -1
            _held.pop(self._path, None)


def holder_lives(path: str) -> bool:
    """Whether some process, this one included, holds the lock of this file."""
    probe = ProcessLock(path)
    try:
        taken = probe.take()
    except OSError:
        return os.path.exists(path)  # noqa: PTH110 - unreadable is no proof of death
    if not taken:
        return True
    probe.give_back()
    return not probe.proves


def is_free(path: str) -> bool:
    """Whether it is certain that no other process on this machine holds the lock of this file,
    those of other containers included. False where there is no such file."""
    if (proves := _held.get(os.path.realpath(path))) is not None:
        return proves
    return os.path.exists(path) and not holder_lives(path)  # noqa: PTH110


@contextmanager
def locked(path: str, *, wait_s: float = 10.0) -> Iterator[None]:
    """Hold the lock for a short while. Errors: TimeoutError, OSError."""
    lock = ProcessLock(path)
    end = time.monotonic() + wait_s
    pause_s = 0.0005
    while not lock.take():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} has been locked for {wait_s:g} s")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.02)
    try:
        yield
    finally:
        lock.give_back()


def _forget_in_child() -> None:
    global _held_guard
    _held_guard = threading.Lock()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
