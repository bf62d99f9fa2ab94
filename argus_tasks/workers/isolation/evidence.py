"""Records, for the parent, why a worker process died."""

from __future__ import annotations

import faulthandler
import mmap
import os
import resource
import signal
import struct
import sys

from argus_tasks.base.memfile import anonymous_file, take_text
from argus_tasks.base.oom_kills import OomCounter
from argus_tasks.workers.isolation.death import Death

_COUNT = struct.Struct("<Q")
_RSS_UNITS_A_MB = 1024 if sys.platform == "linux" else 1024 * 1024


class Evidence:
    """Created before the fork, written by the process, and read by its parent after its end."""

    def __init__(self) -> None:
        self._counter = OomCounter()
        self._stacks = anonymous_file("stacks")
        self._before = mmap.mmap(-1, _COUNT.size)
        self.attempt_starts()

    def record_faults(self) -> None:
        """Write the Python stack of every thread at a fatal signal, and at a TERM."""
        faulthandler.enable(file=self._stacks)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.register(signal.SIGTERM, file=self._stacks, chain=True)

    def attempt_starts(self) -> None:
        """Remember the kernel's count of out-of-memory kills before this attempt."""
        _COUNT.pack_into(self._before, 0, self._counter.count())

    def of_death(self, status: int, usage: resource.struct_rusage) -> Death:
        """Describe the end that `os.wait4` reported; the recorded stack is used up."""
        code = os.waitstatus_to_exitcode(status)
        (before,) = _COUNT.unpack_from(self._before)
        killed = code == -signal.SIGKILL and self._counter.count() > before
        peak_mb = round(usage.ru_maxrss / _RSS_UNITS_A_MB)
        return Death(code, killed, peak_mb, take_text(self._stacks).strip())

    def close(self) -> None:
        """Close the files."""
        os.close(self._stacks)
        self._before.close()
        self._counter.close()
