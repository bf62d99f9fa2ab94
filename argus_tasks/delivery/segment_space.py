"""Whether there is space for events: on the disk, and below the size limit of the outbox."""

from __future__ import annotations

import logging
import os
import time
from typing import Protocol

from argus_tasks.delivery.chain_files import RESERVE_BYTES
from argus_tasks.delivery.events import LIFECYCLE

log = logging.getLogger("argus_tasks")

_RECHECK_S = 0.5


class SizeLimits(Protocol):
    """How much may be written to a folder; an `Outbox` is one."""

    @property
    def segment_bytes(self) -> int:
        """The size in bytes at which a segment is full."""
        ...

    def admits(self) -> int:
        """The highest class (`events.CLASS_OF`) that may be written now; -1: not even lifecycle."""
        ...


class SpaceCheck:
    """Decides which classes of events a writer stores, and warns once where it stores not all."""

    def __init__(self, folder: str, limits: SizeLimits) -> None:
        self._folder = folder
        self._limits = limits
        self.disk_full = False
        self._recheck_at = 0.0
        self._warned = False

    def highest(self) -> int:
        """The highest class of events that may be written now."""
        return LIFECYCLE if self.disk_full else self._limits.admits()

    def new_segment(self) -> None:
        """Have the next check take place at once."""
        self._recheck_at = 0.0

    def disk_ran_full(self) -> None:
        """Record that a write found no space on the disk."""
        if not self.disk_full:
            self.disk_full = True
            self._recheck_at = time.monotonic() + _RECHECK_S
            self.warn_once(
                "argus-tasks: the disk of the outbox (%s) is full: only lifecycle events are"
                " kept, the rest is counted as dropped",
                self._folder,
            )

    def warn_once(self, message: str, value: object) -> None:
        """Log the first warning of this writer."""
        if not self._warned:
            self._warned = True
            log.warning(message, value)

    def is_due(self) -> bool:
        """Whether to check for space again: at most every half second."""
        now = time.monotonic()
        if now < self._recheck_at:
            return False
        self._recheck_at = now + _RECHECK_S
        return True

    def disk_has_space(self) -> bool:
        """Check whether a full disk has space again."""
        try:
            space = os.statvfs(self._folder)
        except OSError:
            return False
        self.disk_full = space.f_bavail * space.f_frsize < 4 * RESERVE_BYTES
        return not self.disk_full
