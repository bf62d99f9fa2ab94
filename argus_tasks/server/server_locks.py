"""The locks of the embedded server: one server at a time, running while a process uses it. All of
them end with the processes that hold them.

Two kinds. A *record lock* belongs to a process: no child inherits it, whatever forks. A *flock*
belongs to an open file: handed on to a child with its descriptor, it has no moment without owner.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_guard = threading.Lock()
_holds: dict[str, _Hold] = {}


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
    with _guard:
        hold = _holds.get(str(path))
        if hold is None:
            hold = _holds[str(path)] = _Hold(_open(path))
        if hold.pid != os.getpid():  # the first time, or after a fork
            hold.pid, hold.count = os.getpid(), 0
        if hold.count == 0:
            try:
                fcntl.lockf(hold.descriptor, fcntl.LOCK_SH)
            except OSError as error:  # a file system without locks
                error.filename = os.fspath(path)
                raise
        hold.count += 1


def drop_hold(path: Path) -> None:
    """Undo one `take_hold` of this process; the last one frees the file."""
    with _guard:
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
        except OSError:
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
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: a fork may have a copy
        os.close(descriptor)


def lock_file(path: Path) -> int:
    """A descriptor with an exclusive flock, which lasts as long as it or a copy of it is open.

    Errors: BlockingIOError where somebody else has the lock.
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether a process holds the file's flock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two processes may test at once.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _renew_guard() -> None:
    global _guard
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_renew_guard)
