"""Free memory as a resource: starts are held back while too little is free. Nothing is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from argus_tasks.admission.delayed_call import DelayedCall
from argus_tasks.admission.resource import Demand, Refusal, Resource
from argus_tasks.base import cgroups
from argus_tasks.spec.quantities import bytes_of, share_of

# The time until a start shows in the measurement, and the time after which a refused one retries.
SHOWS_AFTER_S = 1.0
_RETRY_S = 0.5
# Measuring can take milliseconds with nested control groups, so a recent measurement is reused.
_FRESH_S = 0.1


@dataclass(frozen=True, slots=True)
class Memory:
    """Free and total memory in bytes."""

    free: int
    total: int


class MemoryFloor(Resource):
    """Refuses a start while less memory than `floor` (`4GB`, or `10%`) is free, unless nothing
    runs.

    A start that is too recent to show in the measurement counts as if it used as much as the floor.
    """

    def __init__(
        self,
        floor: str,
        read: Callable[[], Memory] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes = bytes_of("min_free_memory", floor)
        self._share = share_of(floor) or 0.0
        self._read = read or memory_of_this_process
        self._clock = clock
        self._young: dict[int, float] = {}
        self._seen: tuple[float, Memory] | None = None
        self._retry_later = DelayedCall(_RETRY_S)

    def try_take(self, demand: Demand, running: int) -> object | Refusal:
        """Grant the start, unless memory is short and any attempt of this sweep runs."""
        now = self._clock()
        if self._seen is None or now >= self._seen[0] + _FRESH_S:
            self._seen = (now, self._read())
        memory = self._seen[1]
        floor = self._bytes if self._bytes is not None else int(self._share * memory.total)
        for index, since in list(self._young.items()):
            if now >= since + SHOWS_AFTER_S:
                del self._young[index]
        if running and memory.free - len(self._young) * floor < floor:
            self._retry_later.schedule()
            return Refusal(f"{_shown(memory.free)} of memory free, {_shown(floor)} required")
        self._young[demand.index] = now
        return demand.index

    def give_back(self, grant: object) -> None:
        """Forget the start."""
        if isinstance(grant, int):
            self._young.pop(grant, None)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when a refused start may try again."""
        self._retry_later.callback = callback


def memory_of_this_process() -> Memory:
    """The machine's memory, or what the control groups of this process leave of it."""
    machine = psutil.virtual_memory()
    free, total = machine.available, machine.total
    for folder in cgroups.folders("memory"):
        group = _of_group(folder, machine.total)
        if group is not None:
            free, total = min(free, group.free), min(total, group.total)
    return Memory(max(0, free), total)


def _of_group(folder: Path, machine_total: int) -> Memory | None:
    """The memory that a control group allows; None if its limit is not below the machine's memory.
    Cached files count as free."""
    for limit_name, used_name, cached_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = cgroups.number(folder, limit_name), cgroups.number(folder, used_name)
        if limit is not None and used is not None and limit < machine_total:
            cached = cgroups.facts(folder, "memory.stat").get(cached_name, 0)
            return Memory(limit - used + cached, limit)
    return None


def _shown(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
