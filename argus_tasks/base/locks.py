"""Locks that end with the process that holds them.

A *record lock* (`fcntl.lockf`) belongs to a process: no child inherits it, whatever forks. Closing
any descriptor of a locked file releases its lock. So only this module opens lock files, and it
keeps a list of the locks of this process. A *flock* belongs to an open file: handed on to a child
with its descriptor, it has no moment without an owner.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
"""The error numbers of file systems without locks."""
_BUSY = frozenset({errno.EACCES, errno.EAGAIN})

# The locks that this process holds, by path: whether holding it excludes other processes.
_held: dict[str, bool] = {}
_held_guard = threading.Lock()
_holds: dict[str, _Hold] = {}


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


class _Hold:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.pid = 0
        self.count = 0


def take_hold(path: Path) -> None:
    """Hold the file for this process (a shared record lock); a process may hold it several times.

    Closing any descriptor of a file drops all of the process's record locks on it: hence one
    descriptor for each file, never closed, counted here.
    """
    with _held_guard:
        hold = _holds.get(str(path))
        if hold is None:
            hold = _holds[str(path)] = _Hold(_open(path))
        if hold.pid != os.getpid():  # the first time, or after a fork
            hold.pid, hold.count = os.getpid(), 0
        if hold.count == 0:
            with _naming(path):
                fcntl.lockf(hold.descriptor, fcntl.LOCK_SH)
        hold.count += 1


def drop_hold(path: Path) -> None:
    """Undo one `take_hold` of this process; the last one frees the file."""
    with _held_guard:
        hold = _holds.get(str(path))
        if hold is None or hold.pid != os.getpid() or hold.count == 0:
            return
        hold.count -= 1
        if hold.count == 0:
            fcntl.lockf(hold.descriptor, fcntl.LOCK_UN)


class HoldProbe:
    """Tests whether any process holds a file, from a process that never holds it itself."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)

    def held(self) -> bool:
        """Whether any process holds it now."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # also where the file system has no locks: it may be held
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def holders(path: Path) -> list[int]:
    """The pids of the processes that hold the file; empty on systems that do not list them."""
    try:
        inode = f":{path.stat().st_ino}"
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    fields = (line.split() for line in lines)
    return sorted(
        int(field[4])
        for field in fields
        if len(field) > 5 and field[1] == "POSIX" and field[5].endswith(inode)
    )


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """A context for one process or thread at a time; waits for its turn."""
    descriptor = take_flock(path, wait=True)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: a fork may have a copy
        os.close(descriptor)


def take_flock(path: Path, *, wait: bool = False) -> int:
    """A descriptor with an exclusive flock, which lasts as long as it or a copy of it is open.

    Errors: BlockingIOError where somebody else has the lock; OSError, which names the file, on a
    file system without locks.
    """
    descriptor = _open(path)
    try:
        with _naming(path):
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def has_flock(path: Path) -> bool:
    """Whether a process holds the file's flock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two processes may test at once.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # also where the file system has no locks: it may be held
        return True
    finally:
        os.close(descriptor)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An OSError of this block names the file, as `open` does."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def _forget_in_child() -> None:
    global _held_guard
    _held_guard = threading.Lock()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
