"""Measures the CPU time and the memory of an attempt, in the process that runs it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from argus_tasks.experiments.script_memory import peak_mb_of, peak_mb_of_usage
from argus_tasks.runs.record.process_usage import ProcessUsage


class ResourceUsage:
    """Measures what is used from its creation on.

    In a worker process, which runs one attempt at a time, the CPU time and the memory of the
    process and its children count. Otherwise the CPU time of this thread counts, and memory is not
    measured.

    Attributes:
        below: the usage of processes that do the attempt's work (scripts); their memory counts as
            the attempt's.
    """

    below: Sequence[ProcessUsage] = ()

    def __init__(self, owner: Mapping[str, Any]) -> None:
        self._isolated = owner.get("pid") != os.getpid()
        self._since_s = self._cpu_s()
        if self._isolated:
            # The peak of a worker is that of its largest run, unless it is reset.
            with suppress(OSError):
                descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(descriptor, b"5")
                finally:
                    os.close(descriptor)

    def taken(self) -> dict[str, float]:
        """`cpu_s`, the seconds of CPU time so far, and `peak_ram_mb` where memory is measured."""
        cpu_s = self._cpu_s() - self._since_s
        if not self._isolated:  # else they are among its children
            cpu_s += sum(each.cpu_s for each in self.below)
        used = {"cpu_s": round(cpu_s, 3)}
        if self.below:
            return used | {"peak_ram_mb": round(max(each.peak_mb for each in self.below), 1)}
        return used | {"peak_ram_mb": _peak_mb()} if self._isolated else used

    def _cpu_s(self) -> float:
        if not self._isolated:
            return time.thread_time()
        mine = resource.getrusage(resource.RUSAGE_SELF)
        below = resource.getrusage(resource.RUSAGE_CHILDREN)
        return mine.ru_utime + mine.ru_stime + below.ru_utime + below.ru_stime


def _peak_mb() -> float:
    peak_mb = peak_mb_of("self")
    if peak_mb is None:
        peak_mb = peak_mb_of_usage(resource.getrusage(resource.RUSAGE_SELF))
    return round(peak_mb, 1)
