"""The memory floor: when a start is held, and what is read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from argus_tasks.admission import memory as module
from argus_tasks.admission.gate import Gate, Ticket
from argus_tasks.admission.memory import (
    SHOWS_AFTER_S,
    Memory,
    MemoryFloor,
    memory_of_this_process,
)
from argus_tasks.admission.resource import Demand, Refusal
from argus_tasks.base import cgroups

GB = 1_000_000_000


class Machine:
    """So much memory is free, and so late it is."""

    def __init__(self, free_gb: float, floor: str = "4GB") -> None:
        self.free_gb, self.now = free_gb, 100.0
        self.floor = MemoryFloor(
            floor, lambda: Memory(int(self.free_gb * GB), 100 * GB), lambda: self.now
        )
        self.gate = Gate([self.floor])
        self._next = 0

    def start(self) -> Ticket | Refusal:
        self._next += 1
        return self.gate.try_enter(Demand(self._next))


def test_one_always_runs() -> None:
    machine = Machine(0.1)
    first = machine.start()
    assert isinstance(first, Ticket)
    machine.now += 60
    held = machine.start()
    assert isinstance(held, Refusal)
    assert held.reason == "0.1 GB of memory free, 4.0 GB required"
    first.leave()
    assert isinstance(machine.start(), Ticket)


def test_far_from_the_floor_all_start_at_once_and_near_it_one_by_one() -> None:
    machine = Machine(64)
    assert all(isinstance(machine.start(), Ticket) for _ in range(16))
    machine = Machine(9)
    assert [isinstance(machine.start(), Ticket) for _ in range(3)] == [True, True, False]
    machine.now += SHOWS_AFTER_S
    assert isinstance(machine.start(), Ticket), "the others show by now"


def test_one_that_has_ended_need_not_show() -> None:
    machine = Machine(9)
    tickets = [machine.start() for _ in range(2)]
    assert isinstance(machine.start(), Refusal)
    assert isinstance(tickets[0], Ticket)
    tickets[0].leave()
    assert isinstance(machine.start(), Ticket)


def test_a_share() -> None:
    machine = Machine(21, "10%")
    assert [isinstance(machine.start(), Ticket) for _ in range(3)] == [True, True, False]


def test_a_refused_one_is_told_to_look_again() -> None:
    machine = Machine(0)
    again = threading.Event()
    machine.gate.changed = again.set
    machine.start()
    machine.start()
    machine.free_gb, machine.now = 50, machine.now + 1
    assert again.wait(20)
    assert isinstance(machine.start(), Ticket)


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_says_how_much_there_is(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    inner, outer = tmp_path / "outer" / "inner", tmp_path / "outer"
    inner.mkdir(parents=True)
    for folder, limit, used, cached in ((inner, 1000, 900, 300), (outer, 2000, 1900, 0)):
        (folder / names[0]).write_text(str(limit << 20))
        (folder / names[1]).write_text(str(used << 20))
        (folder / "memory.stat").write_text(f"x 1\n{names[2]} {cached << 20}\n")
    monkeypatch.setattr(cgroups, "folders", lambda _: [inner, outer])
    assert memory_of_this_process() == Memory(100 << 20, 1000 << 20)
    (inner / names[0]).write_text("max" if version == 2 else str(2**62))
    (outer / names[0]).write_text("max" if version == 2 else str(2**62))
    machine = module.psutil.virtual_memory()
    found = memory_of_this_process()
    assert found.total == machine.total
    assert abs(found.free - machine.available) < GB
