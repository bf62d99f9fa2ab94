"""Locks between processes that end with their process and that forks do not inherit.

These are POSIX record locks (`fcntl.lockf`). Closing any descriptor of a locked file releases its
lock. So only this module opens lock files, and it keeps a list of the locks of this process.
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
"""The error numbers of file systems without locks."""
_BUSY = frozenset({errno.EACCES, errno.EAGAIN})

# The locks that this process holds, by path: whether holding it excludes other processes.
_held: dict[str, bool] = {}
_held_guard = threading.Lock()


class ProcessLock:
    """A lock on a file. Not reentrant: a second one on the same path in this process fails."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._descriptor = -1
        self._pid = 0
        self.proves = True
        """False where the file system has no locks, so that other processes are not excluded."""

    @property
    def held(self) -> bool:
        """Whether this process holds the lock through this object."""
        return self._descriptor >= 0 and self._pid == os.getpid()

    def take(self) -> bool:
        """Try once to take the lock. On a file system without locks it always counts as taken, and
        `argus-tasks doctor` warns.

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
        """Release the lock, if it is held; `remove` deletes the file first."""
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
    """Whether any process, this one included, holds the lock on this file."""
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
    """Whether no other process on this machine, also in other containers, holds the lock on this
    file. False where that is not certain, or the file is missing."""
    if (proves := _held.get(os.path.realpath(path))) is not None:
        return proves
    return os.path.exists(path) and not holder_lives(path)  # noqa: PTH110


@contextmanager
def locked(path: str, *, wait_s: float = 10.0) -> Iterator[None]:
    """Within this block, hold the lock on a file.

    Args:
        path: the file.
        wait_s: how long to wait for another holder, in seconds.

    Raises:
        TimeoutError: another process held it for that long.
        OSError: the file cannot be opened.
    """
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
