"""What tells this boot of the machine from others."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def boot_id() -> str | None:
    """A UUID that changes with every boot, and differs between hosts; None where none is said."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def short_boot_id() -> str:
    """Its first eight hex digits, for file names; zeros where the system does not say."""
    return (boot_id() or "00000000").replace("-", "")[:8]
