"""Whether the disk has run full: then a sweep stops, instead of failing what is left of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from argus_tasks.runs.record.causes import DISK_FULL, of_exception

_PROBE_BYTES = 1 << 16


class DiskSpace:
    """Decides whether the disk is full, by the causes that attempts end with; thread-safe.

    It is full where an attempt found no room, and either a small file does not fit below the
    results root, or the attempt that ended just before found no room as well. So one run whose own
    disk or quota is full fails alone.
    """

    def __init__(self, results_root: Path) -> None:
        self._root = results_root
        self._before = False
        self._lock = threading.Lock()

    def is_full(self, cause: str | None) -> bool:
        """Whether the disk is full, now that an attempt has ended with this cause."""
        with self._lock:
            before, self._before = self._before, cause == DISK_FULL
        return cause == DISK_FULL and (before or not self._takes_a_file())

    def _takes_a_file(self) -> bool:
        probe = f"{self._root}/.room-{os.getpid()}-{threading.get_ident()}"
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            return of_exception(error) != DISK_FULL
        try:
            left = _PROBE_BYTES
            while left:
                left -= os.write(descriptor, bytes(left))
        except OSError as error:
            return of_exception(error) != DISK_FULL
        finally:
            os.close(descriptor)
            os.unlink(probe)  # noqa: PTH108
        return True
