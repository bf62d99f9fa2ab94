"""Files without a name, shared with child processes by descriptor and removed with the last one."""

from __future__ import annotations

import os
import sys
import tempfile

_MOST_BYTES = 256 * 1024


def anonymous_file(purpose: str) -> int:
    """The descriptor of a new, empty file; in memory where the system supports that."""
    system: str = sys.platform
    if system == "linux":
        return os.memfd_create(f"argus-{purpose}")
    with tempfile.TemporaryFile() as handle:
        return os.dup(handle.fileno())


def take_text(descriptor: int) -> str:
    """Read the text of such a file (its first 256 KB) and empty it."""
    text = os.pread(descriptor, _MOST_BYTES, 0).decode("utf-8", "replace")
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return text
