"""The kind of machine this is: properties that do not change from one start to the next."""

from __future__ import annotations

import os
import platform
import re
from functools import lru_cache
from pathlib import Path

_PROCESSOR = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
_GPUS = "/proc/driver/nvidia/gpus"


@lru_cache(maxsize=1)
def host_kind() -> str:
    """A text such as `Linux x86_64, AMD EPYC 7B13, 2 CPUs, 1x NVIDIA A100`.

    It has no host name, address or kernel version: identical machines are of one kind.
    """
    parts = [f"{platform.system()} {platform.machine()}"]
    processor = _named("/proc/cpuinfo") or platform.processor()
    if processor and processor != platform.machine():
        parts.append(processor)
    parts.append(f"{os.cpu_count() or 1} CPUs")
    gpus = [_named(str(path)) or "GPU" for path in sorted(Path(_GPUS).glob("*/information"))]
    parts += [f"{gpus.count(name)}x {name}" for name in dict.fromkeys(gpus)]
    return ", ".join(parts)


def _named(path: str) -> str | None:
    try:
        found = _PROCESSOR.search(Path(path).read_text(errors="replace"))
    except OSError:
        return None
    return " ".join(found[1].split()) if found else None
