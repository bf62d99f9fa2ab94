"""The id of the present boot of this machine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def boot_id() -> str | None:
    """A UUID that differs between boots and hosts; None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def short_boot_id() -> str:
    """The first eight hex digits of the boot id, for file names; zeros where there is none."""
    return (boot_id() or "00000000").replace("-", "")[:8]
