"""How many CPU cores this process may use, by its affinity and its control groups."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base import cgroups


def usable_cpus() -> int:
    """How many cores this process may use: its affinity, at most its CPU quota, at least 1."""
    cores, quota = len(usable_cores()), cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota.cores)))


def usable_cores() -> list[int]:
    """The numbers of the cores that the affinity of this process allows."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class CpuQuota:
    """The CPU time that a control group allows its processes.

    Attributes:
        cores: the time, as a number of cores.
        folder: the group's folder.
        account: the folder where version 1 counts the used time.
    """

    cores: float
    folder: Path
    account: Path

    def used_s(self) -> float | None:
        """The CPU time that the group has used, in seconds; None where that is unknown."""
        micros = cgroups.facts(self.folder, "cpu.stat").get("usage_usec")
        if micros is not None:
            return micros / 1e6
        nanos = cgroups.number(self.account, "cpuacct.usage")
        return None if nanos is None else nanos / 1e9


def cpu_quota(own: Path = Path("/proc/self/cgroup"), root: Path = cgroups.ROOT) -> CpuQuota | None:
    """The smallest CPU quota of this process's control groups; None where there is none."""
    quotas = []
    for folder in cgroups.folders("cpu", own=own, root=root):
        quota = cgroups.number(folder, "cpu.cfs_quota_us")
        period = cgroups.number(folder, "cpu.cfs_period_us")
        if quota is None or period is None:  # version 2 has both in one file
            quota, period = _cpu_max(folder)
        if quota is not None and quota > 0 and period:
            account = folder
            if folder.is_relative_to(root / "cpu"):
                account = root / "cpuacct" / folder.relative_to(root / "cpu")
            quotas.append(CpuQuota(quota / period, folder, account))
    return min(quotas, key=lambda each: each.cores, default=None)


def _cpu_max(folder: Path) -> tuple[int | None, int | None]:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota), int(period)
    except (OSError, ValueError):
        return None, None
