"""The kernel's count of processes that it killed for memory, in this process's cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_KEY = b"oom_kill "


class OomCounter:
    """Reads `oom_kill`: of cgroup v2's `memory.events` or v1's `memory.oom_control`, and where this
    process is in no memory cgroup, the machine's own."""

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
        """How many so far; 0 where nobody counts."""
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
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        # A container sees its own cgroup as the root of what is mounted.
        if controllers == "":
            yield _ROOT / inside / "memory.events"
            yield _ROOT / "memory.events"
        elif "memory" in controllers.split(","):
            yield _ROOT / "memory" / inside / "memory.oom_control"
            yield _ROOT / "memory" / "memory.oom_control"
    yield Path("/proc/vmstat")
