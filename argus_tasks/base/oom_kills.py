"""How many processes the kernel has killed for lack of memory, in the cgroup of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from argus_tasks.base import cgroups

_KEY = b"oom_kill "


class OomCounter:
    """Reads the counter `oom_kill` from `memory.events` (cgroup v2) or `memory.oom_control` (v1);
    where this process is in no memory cgroup, that of the machine."""

    def __init__(self) -> None:
        self._descriptor = -1
        for path in _places():
            try:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if self._read() is not None:
                return
            self.close()

    def count(self) -> int:
        """How many processes so far; 0 where there is no counter."""
        return self._read() or 0

    def close(self) -> None:
        """Close the counter's file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> int | None:
        if self._descriptor < 0:
            return None
        try:
            text = os.pread(self._descriptor, 65536, 0)
        except OSError:  # the cgroup is gone
            return None
        at = text.find(b"\n" + _KEY) + 1
        if not text.startswith(_KEY, at):
            return None
        return int(text[at + len(_KEY) :].split(None, 1)[0])


def _places() -> Iterator[Path]:
    for folder in cgroups.folders("memory"):
        yield folder / "memory.events"
        yield folder / "memory.oom_control"
    yield Path("/proc/vmstat")
