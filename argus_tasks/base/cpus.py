"""How many cores this process may use, and what its control groups allow of them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base import cgroups


def usable_cpus() -> int:
    """The cores of its affinity, or as many as its control groups' quota is worth, at least 1."""
    cores, quota = len(usable_cores()), cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota.cores)))


def usable_cores() -> list[int]:
    """The numbers of the cores of its affinity."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class CpuQuota:
    """What a control group allows its processes of the CPU.

    Attributes:
        cores: so many cores' worth of time.
        folder: the group's.
        account: the folder where version 1 counts what is used.
    """

    cores: float
    folder: Path
    account: Path

    def used_s(self) -> float | None:
        """Seconds of CPU that the group has used; None where it does not say."""
        micros = cgroups.facts(self.folder, "cpu.stat").get("usage_usec")
        if micros is not None:
            return micros / 1e6
        nanos = cgroups.number(self.account, "cpuacct.usage")
        return None if nanos is None else nanos / 1e9


def cpu_quota(own: Path = Path("/proc/self/cgroup"), root: Path = cgroups.ROOT) -> CpuQuota | None:
    """The tightest quota of the groups that this process is in; None where there is none."""
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
