"""The most memory that a script has held, told apart from that of the process that started it.

Linux counts the peak that `wait4` tells (`ru_maxrss`) from where the parent's is: it is the
script's only where the script has held more than we have. Where it has not, what the script and
those that come from it were seen to hold while they ran is nearer.
"""

from __future__ import annotations

import resource
import sys
import time

from argus_tasks.base.files import read_whole
from argus_tasks.base.process_tree import descendants
from argus_tasks.runs.record.process_usage import ProcessUsage

_RSS_UNITS_A_MB = 1024 if sys.platform == "linux" else 1024 * 1024
_PATIENCE = 100
"""How many times longer than the CPU time it took a look is from the next: at the script alone,
and, which takes longer, at all that come from it."""


def peak_mb_of(pid: int | str) -> float | None:
    """The most memory that a living process has held, in MB; None where that is not told.

    After `/proc/PID/clear_refs` it is counted anew.
    """
    try:
        measured = read_whole(f"/proc/{pid}/status").partition(b"\nVmHWM:")[2]
        return int(measured[: measured.index(b" kB")]) / 1024
    except (OSError, ValueError):
        return None


def peak_mb_of_usage(usage: resource.struct_rusage) -> float:
    """The peak that a `struct_rusage` has, in MB."""
    return usage.ru_maxrss / _RSS_UNITS_A_MB


class ScriptMemory:
    """Looks at a script while it runs, seldom enough to cost next to nothing."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most_mb = 0.0
        self._next_one = self._next_all = 0.0

    def look(self) -> None:
        """Look, where it is time to; of one that has held more than we have there is no need."""
        now = time.monotonic()
        if now < min(self._next_one, self._next_all):
            return
        if self._most_mb > (peak_mb_of("self") or 0.0):
            self._next_one = self._next_all = float("inf")
            return
        began = time.thread_time()
        if now >= self._next_one:
            self._see(self._pid)
            self._next_one = now + _PATIENCE * (time.thread_time() - began)
        if now >= self._next_all:
            for pid in descendants(self._pid):
                self._see(pid)
            self._next_all = now + _PATIENCE * (time.thread_time() - began)

    def usage(self, measured: resource.struct_rusage) -> ProcessUsage:
        """What the script has used, now that it has ended and `wait4` has told this."""
        peak_mb = peak_mb_of_usage(measured)
        ours_mb = peak_mb_of("self")
        if self._most_mb and ours_mb is not None and peak_mb <= ours_mb:
            peak_mb = self._most_mb
        return ProcessUsage(measured.ru_utime + measured.ru_stime, peak_mb)

    def _see(self, pid: int) -> None:
        self._most_mb = max(self._most_mb, peak_mb_of(pid) or 0.0)
