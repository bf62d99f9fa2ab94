"""Measures how busy the usable CPUs are, and how much of that the experiments cause."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from argus_tasks.base.cpus import cpu_quota, usable_cores
from argus_tasks.base.process_tree import descendants
from argus_tasks.base.processes import all_pids, stat_of

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """The CPU usage between two measurements.

    Attributes:
        span_s: the time between them in seconds.
        busy_pct: the usage of the CPUs by any process, in percent; that of the control group's
            quota if it is higher.
        own_pct: the part of it that the experiments cause; None if it is unknown.
    """

    span_s: float
    busy_pct: float
    own_pct: float | None


class CpuMeter:
    """Measures the CPU usage since the last measurement.

    Args:
        root_pid: returns the process id of the common ancestor of all experiments; None while there
            is none.
    """

    def __init__(self, root_pid: Callable[[], int | None]) -> None:
        self._root_pid = root_pid
        self._quota = cpu_quota()
        self._cores = usable_cores()
        self._before: tuple[float, float, float, float | None, float | None] | None = None

    @property
    def cores(self) -> float:
        """The number of usable cores; the quota of the control group if it is lower."""
        return min(len(self._cores), self._quota.cores) if self._quota else len(self._cores)

    def read(self) -> CpuUsage | None:
        """The usage since the last call; None at the first."""
        busy_s, all_s = self._machine()
        now = (time.monotonic(), busy_s, all_s, self._group(), self._own())
        before, self._before = self._before, now
        if before is None or now[2] <= before[2]:
            return None
        span_s = now[0] - before[0]
        busy_pct = 100 * (now[1] - before[1]) / (now[2] - before[2])
        if self._quota and now[3] is not None and before[3] is not None:
            busy_pct = max(busy_pct, 100 * (now[3] - before[3]) / (span_s * self._quota.cores))
        own_pct = None
        if now[4] is not None and before[4] is not None:
            own_pct = min(busy_pct, max(0.0, 100 * (now[4] - before[4]) / (span_s * self.cores)))
        return CpuUsage(span_s, min(100.0, busy_pct), own_pct)

    def _machine(self) -> tuple[float, float]:
        """The seconds that our cores have been busy, and the seconds that they have existed."""
        busy = whole = 0.0
        times = psutil.cpu_times(percpu=True)
        for core in self._cores if len(times) > max(self._cores) else range(len(times)):
            fields = times[core]._asdict()
            # the time of guests is part of user and nice as well
            total = sum(fields.values()) - fields.get("guest", 0) - fields.get("guest_nice", 0)
            busy += total - fields["idle"] - fields.get("iowait", 0.0)
            whole += total
        return busy, whole

    def _group(self) -> float | None:
        return self._quota.used_s() if self._quota else None

    def _own(self) -> float | None:
        root = self._root_pid()
        return tree_cpu_s(root) if root is not None else None


def tree_cpu_s(root: int) -> float | None:
    """The CPU time in seconds that a process and all its descendants have used, ended ones
    included."""
    if sys.platform != "linux":
        return _tree_by_psutil(root)
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for pid in all_pids():
        fields = stat_of(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(pid)
            used[pid] = sum(
                map(int, fields[11:15])
            )  # user and system time, own and of reaped children
    if root not in used:
        return None
    return sum(used[pid] for pid in (root, *descendants(root, children))) / _TICKS_PER_S


def _tree_by_psutil(root: int) -> float | None:
    try:
        process = psutil.Process(root)
        family = [process, *process.children(recursive=True)]
        return float(sum(sum(member.cpu_times()[:4]) for member in family))
    except psutil.Error:
        return None
