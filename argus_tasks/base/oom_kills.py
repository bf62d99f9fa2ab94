"""How many processes the kernel has killed for lack of memory, in the cgroup of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
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
