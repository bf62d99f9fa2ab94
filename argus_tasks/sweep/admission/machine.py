"""How busy the CPUs are that this process may use, and how much of that is the experiments'."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """Between two readings.

    Attributes:
        span_s: how long that was.
        busy_pct: of the CPUs, whoever uses them; of the quota, where a cgroup's is nearer its end.
        own_pct: the part of it that the experiments use; None where that cannot be known.
    """

    span_s: float
    busy_pct: float
    own_pct: float | None


class CpuMeter:
    """Reads what the CPUs have done since it was last asked.

    Args:
        tree: the process that all experiments come from; None while there is none.
    """

    def __init__(self, tree: Callable[[], int | None]) -> None:
        self._tree = tree
        self._quota = cgroup_quota()
        self._cores = _usable_cores()
        self._before: tuple[float, float, float, float | None, float | None] | None = None

    @property
    def cores(self) -> float:
        """How many there are to use, a quota counted."""
        return min(len(self._cores), self._quota.cores) if self._quota else len(self._cores)

    def read(self) -> Usage | None:
        """None where there is nothing to compare with yet."""
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
        return Usage(span_s, min(100.0, busy_pct), own_pct)

    def _machine(self) -> tuple[float, float]:
        """Seconds that our cores have been busy, and that they have been there."""
        busy = whole = 0.0
        times = psutil.cpu_times(percpu=True)
        for core in self._cores if len(times) > max(self._cores) else range(len(times)):
            fields = times[core]._asdict()
            # a guest's time stands in user and nice as well
            total = sum(fields.values()) - fields.get("guest", 0) - fields.get("guest_nice", 0)
            busy += total - fields["idle"] - fields.get("iowait", 0.0)
            whole += total
        return busy, whole

    def _group(self) -> float | None:
        return self._quota.used_s() if self._quota else None

    def _own(self) -> float | None:
        root = self._tree()
        return tree_cpu_s(root) if root is not None else None


def tree_cpu_s(root: int) -> float | None:
    """Seconds of CPU that a process and all below it have used, their dead included."""
    if sys.platform != "linux":
        return _tree_by_psutil(root)
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - thousands of them, names only
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as handle:  # noqa: PTH123
                    fields = handle.read().rpartition(b")")[2].split()
            except OSError:
                continue
            pid = int(name)
            children.setdefault(int(fields[1]), []).append(pid)
            used[pid] = sum(map(int, fields[11:15]))  # own and buried children's, user and system
    if root not in used:
        return None
    total, ahead = 0, [root]
    while ahead:
        pid = ahead.pop()
        total += used[pid]
        ahead += children.get(pid, [])
    return total / _TICKS_PER_S


def _tree_by_psutil(root: int) -> float | None:
    try:
        process = psutil.Process(root)
        family = [process, *process.children(recursive=True)]
        return float(sum(sum(member.cpu_times()[:4]) for member in family))
    except psutil.Error:
        return None


@dataclass(frozen=True, slots=True)
class Quota:
    """What a cgroup allows its processes of the CPU.

    Attributes:
        cores: so many at most, on average.
    """

    cores: float
    usage: Path
    unit_s: float

    def used_s(self) -> float | None:
        """Seconds of CPU that the cgroup has used."""
        try:
            text = self.usage.read_text()
        except OSError:
            return None
        words = text.split()
        return int(words[words.index("usage_usec") + 1 if "usage_usec" in words else 0]) * (
            self.unit_s
        )


def cgroup_quota(proc: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> Quota | None:
    """The tightest CPU quota that this process lives under, of version 2 or 1; None: no quota."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return None
    found: list[Quota] = []
    for _, controllers, path in lines:
        if controllers == "":
            found += _quotas(root, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            found += _quotas(root / "cpu", path, _quota_v1)
            found += _quotas(root / "cpu,cpuacct", path, _quota_v1)
    return min(found, key=lambda quota: quota.cores, default=None)


def _quotas(root: Path, path: str, read: Callable[[Path], Quota | None]) -> list[Quota]:
    """Those of a cgroup and of all above it; in a container the path may not be below the root."""
    folder = root / path.lstrip("/")
    folders = [root] if not folder.is_dir() else [folder, *folder.parents]
    found = []
    for each in folders:
        if each == root or root in each.parents:
            try:
                quota = read(each)
            except (OSError, ValueError):
                continue
            if quota is not None:
                found.append(quota)
    return found


def _quota_v2(folder: Path) -> Quota | None:
    quota, period = (folder / "cpu.max").read_text().split()
    return None if quota == "max" else Quota(int(quota) / int(period), folder / "cpu.stat", 1e-6)


def _quota_v1(folder: Path) -> Quota | None:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    period = int((folder / "cpu.cfs_period_us").read_text())
    account = folder / "cpuacct.usage"
    if not account.exists():
        account = Path(str(folder).replace("/cpu/", "/cpuacct/", 1)) / "cpuacct.usage"
    return None if quota <= 0 else Quota(quota / period, account, 1e-9)


def _usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
