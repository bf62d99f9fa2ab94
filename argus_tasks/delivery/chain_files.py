"""The files of a chain beside its segments: lock, counts of drops, reserved disk space.

A process that ends well may leave its chain idle, for the next process of this host to write to.
So a thousand short processes do not leave a thousand files.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from argus_tasks.base.boot import short_boot_id
from argus_tasks.base.files import PRIVATE, reserve_space
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
    """A chain that only this process writes. Errors: OSError where no file can be made."""

    def __init__(self, folder: str, name: str, live: ProcessLock) -> None:
        self.name = name
        self._base = f"{folder}/{name}"
        self._live = live
        self.drops = Drops(self._base + DROPS_ENDING)
        self.reserve()

    def reserve(self) -> None:
        """Reserve disk space for lifecycle events, in case the disk fills up."""
        try:
            reserve_space(self._base + RESERVE_ENDING, RESERVE_BYTES, PRIVATE)
        except OSError:
            self.release_reserve()

    def release_reserve(self) -> bool:
        """Free the reserved disk space. False where there was none."""
        try:
            os.unlink(self._base + RESERVE_ENDING)  # noqa: PTH108
        except OSError:
            return False
        return True

    def close(self, *, idle: bool = False) -> None:
        """Stop writing; `idle`: another process of this host may continue the chain."""
        self.release_reserve()
        self.drops.close()
        if idle:
            with suppress(OSError):
                os.close(os.open(self._base + IDLE_ENDING, os.O_CREAT | os.O_CLOEXEC, 0o600))
        # The lock of an idle chain keeps its file: two processes could lock two files of one name.
        self._live.give_back(remove=not idle)

    def abandon(self) -> None:
        """Give the chain up because its folder was removed."""
        self.drops.close()
        self._live.give_back()

    def forget(self) -> None:
        """In a forked child: close the parent's files. Its locks were not inherited."""
        with suppress(OSError):
            self.drops.close()


def new_chain(folder: str) -> Chain:
    """Make a new chain for this process. Errors: OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
    moment = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    name = f"{moment}-{short_boot_id()}-{os.getpid()}-{secrets.token_hex(5)}"
    live = ProcessLock(f"{folder}/{name}{LIVE_ENDING}")
    _take(live, lambda: True)
    return Chain(folder, name, live)


def idle_chain(folder: str) -> tuple[Chain, int, int] | None:
    """Take over a chain that another process of this host has left idle.

    Returns:
        The chain, the number of its last segment, and a descriptor that appends to this segment;
        None where there is no idle chain.

    Raises:
        OSError: the folder cannot be read.
    """
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
    # Locked first, then no longer idle: in between others see a chain that is in use.
    if not _take(live, lambda: os.path.exists(idle)):  # noqa: PTH110
        return None
    try:
        os.unlink(idle)  # noqa: PTH108 - whoever removes the file owns the chain
        path = f"{folder}/{name}.{number:06d}{SEGMENT_ENDING}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:  # delivered and removed, or another's by now
        live.give_back()
        return None
    return Chain(folder, name, live), number, descriptor


def _take(live: ProcessLock, going_on: Callable[[], bool]) -> bool:
    # A process that tests the lock holds it for a moment.
    for _ in range(_LIVE_TRIES):
        if live.take():
            return True
        if not going_on():
            return False
        time.sleep(0.001)
    return False
