"""A chain's files beside its segments: who writes it, what it dropped, and room kept free.

Processes that follow each other on a host may write to one chain: one that ends well can leave it
idle for the next, so that a thousand short processes do not leave a thousand files.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from argus_tasks.base.boot import short_boot_id
from argus_tasks.base.locks import ProcessLock
from argus_tasks.delivery.drops import Drops

SEGMENT_ENDING = ".seg"
LIVE_ENDING = ".live"
IDLE_ENDING = ".idle"
DROPS_ENDING = ".drops"
RESERVE_ENDING = ".reserve"

RESERVE_BYTES = 128 * 1024
_LIVE_TRIES = 1000


class Chain:
    """A chain that this process writes, alone. Errors: OSError where the folder takes no file."""

    def __init__(self, folder: str, name: str, live: ProcessLock) -> None:
        self.name = name
        self._base = f"{folder}/{name}"
        self._live = live
        self.drops = Drops(self._base + DROPS_ENDING)
        self.reserve()

    def reserve(self) -> None:
        """Keep room for lifecycle events on a disk that fills up."""
        path = self._base + RESERVE_ENDING
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
                else:
                    os.write(descriptor, b"\0" * RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError:
            self.release_reserve()

    def release_reserve(self) -> bool:
        """Let that room be used; whether there was any."""
        try:
            os.unlink(self._base + RESERVE_ENDING)  # noqa: PTH108
        except OSError:
            return False
        return True

    def close(self, *, idle: bool = False) -> None:
        """Write no more; `idle`: another process of this host may go on with it."""
        self.release_reserve()
        self.drops.close()
        if idle:
            with suppress(OSError):
                os.close(os.open(self._base + IDLE_ENDING, os.O_CREAT | os.O_CLOEXEC, 0o600))
        # Where another may take it up, its lock stays one file: a removed one could be locked, too.
        self._live.give_back(remove=not idle)

    def abandon(self) -> None:
        """The folder was removed under us."""
        self.drops.close()
        self._live.give_back()

    def forget(self) -> None:
        """In a forked child: the parent's files are the parent's, its locks did not come along."""
        with suppress(OSError):
            self.drops.close()


def new_chain(folder: str) -> Chain:
    """A chain of this process's own. Errors: OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
    moment = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    name = f"{moment}-{short_boot_id()}-{os.getpid()}-{secrets.token_hex(5)}"
    live = ProcessLock(f"{folder}/{name}{LIVE_ENDING}")
    _take(live, lambda: True)
    return Chain(folder, name, live)


def idle_chain(folder: str) -> tuple[Chain, int, int] | None:
    """A chain that another process of this host has left idle, the number of its last segment, and
    a descriptor that appends to it; None where there is none. Errors: OSError."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return None
    mark = f"-{short_boot_id()}-"
    for idle in names:
        if idle.endswith(IDLE_ENDING) and mark in idle:
            name = idle[: -len(IDLE_ENDING)]
            numbers = [
                int(one[len(name) + 1 : -len(SEGMENT_ENDING)])
                for one in names
                if one.startswith(f"{name}.") and one.endswith(SEGMENT_ENDING)
            ]
            found = _go_on(folder, name, max(numbers, default=0))
            if found is not None:
                return found
    return None


def _go_on(folder: str, name: str, number: int) -> tuple[Chain, int, int] | None:
    idle = f"{folder}/{name}{IDLE_ENDING}"
    live = ProcessLock(f"{folder}/{name}{LIVE_ENDING}")
    # Locked, then marked as taken: who looks in between sees a chain that lives.
    if not _take(live, lambda: os.path.exists(idle)):  # noqa: PTH110
        return None
    try:
        os.unlink(idle)  # noqa: PTH108 - who removes it has it
        path = f"{folder}/{name}.{number:06d}{SEGMENT_ENDING}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:  # delivered and removed, or another's by now
        live.give_back()
        return None
    return Chain(folder, name, live), number, descriptor


def _take(live: ProcessLock, going_on: Callable[[], bool]) -> bool:
    # Whoever looks whether it is held holds it for a moment.
    for _ in range(_LIVE_TRIES):
        if live.take():
            return True
        if not going_on():
            return False
        time.sleep(0.001)
    return False
