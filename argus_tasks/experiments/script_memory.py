"""Measures the peak memory of a script, without that of the process that started it.

On Linux, the peak that `wait4` returns (`ru_maxrss`) starts from the memory of the parent. It is
the script's own only if the script has used more than the parent. Otherwise what was measured while
the script ran is closer.
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
"""The time between two measurements, as a multiple of the CPU time that a measurement takes."""


def peak_mb_of(pid: int | str) -> float | None:
    """The peak memory of a living process in MB; None if it is unknown.

    After a write to `/proc/PID/clear_refs` it is measured anew.
    """
    try:
        measured = read_whole(f"/proc/{pid}/status").partition(b"\nVmHWM:")[2]
        return int(measured[: measured.index(b" kB")]) / 1024
    except (OSError, ValueError):
        return None


def peak_mb_of_usage(usage: resource.struct_rusage) -> float:
    """The peak memory of a `struct_rusage` in MB."""
    return usage.ru_maxrss / _RSS_UNITS_A_MB


class ScriptMemory:
    """Measures the memory of a script while it runs, rarely enough to cost next to nothing."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most_mb = 0.0
        self._next_one = self._next_all = 0.0

    def look(self) -> None:
        """Measure, if it is time to. Once the script has used more memory than this process, no
        more is needed."""
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
        """The usage of a script that has ended, from what `wait4` has returned."""
        peak_mb = peak_mb_of_usage(measured)
        ours_mb = peak_mb_of("self")
        if self._most_mb and ours_mb is not None and peak_mb <= ours_mb:
            peak_mb = self._most_mb
        return ProcessUsage(measured.ru_utime + measured.ru_stime, peak_mb)

    def _see(self, pid: int) -> None:
        self._most_mb = max(self._most_mb, peak_mb_of(pid) or 0.0)
