"""How many cores this process may use."""

from __future__ import annotations

import math
import os

from argus_tasks.base import cgroups


def usable_cpus() -> int:
    """The cores of its affinity, or as many as its control groups' quota is worth, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota() -> float | None:
    """How many cores' worth of time the control groups allow; None where there is no limit."""
    quotas = []
    for folder in cgroups.folders("cpu"):
        quota = cgroups.number(folder, "cpu.cfs_quota_us")
        period = cgroups.number(folder, "cpu.cfs_period_us")
        if quota is None or period is None:  # version 2 has both in one file
            quota, period = _cpu_max(folder)
        if quota is not None and quota > 0 and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _cpu_max(folder: os.PathLike[str]) -> tuple[int | None, int | None]:
    try:
        with open(os.path.join(folder, "cpu.max")) as handle:  # noqa: PTH118, PTH123
            quota, period = handle.read().split()
        return int(quota), int(period)
    except (OSError, ValueError):
        return None, None
