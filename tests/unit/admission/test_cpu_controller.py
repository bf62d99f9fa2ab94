"""The controller on a machine that is simulated: readings, starts and ends on one fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from argus_tasks.admission.cpu_controller import Controller, Start
from argus_tasks.admission.cpu_usage import CpuUsage

TICK_S = 0.05
READ_S = 0.25


@dataclass
class Machine:
    """Jobs that each use `cost_pct` of the CPU for `length_s`, beside a load of others'. For the
    first `loads_s` of it a job does next to nothing.

    Attributes:
        over_s: how long more than the threshold and five points was used while more than one ran.
        watched_s: how long more than one ran.
    """

    controller: Controller
    clock: list[float]
    jobs: int
    cost_pct: float
    length_s: float
    outside_pct: Callable[[float], float] = lambda _: 0.0
    threshold_pct: float = 80
    accounted: bool = True
    loads_s: float = 0.0
    over_s: float = 0.0
    watched_s: float = 0.0
    ran: list[int] = field(default_factory=list)

    @property
    def now(self) -> float:
        return self.clock[0]

    def run(self) -> float:
        """Run all jobs; how long it took."""
        running: list[tuple[float, Start]] = []
        used = own = 0.0
        read_at = 0.0
        while self.jobs or running:
            for job in [each for each in running if each[0] <= self.now]:
                running.remove(job)
                self.controller.ended(job[1])
            while self.jobs and len(running) < self.controller.allowed:
                running.append((self.now + self.length_s, self.controller.began()))
                self.jobs -= 1
            wanted = sum(self._cost_pct(ends_at) for ends_at, _ in running)
            asked = wanted + self.outside_pct(self.now)
            busy = min(100.0, asked)
            mine = busy * wanted / asked if asked else 0.0
            used, own = used + busy * TICK_S, own + mine * TICK_S
            if len(running) > 1:
                self.watched_s += TICK_S
                self.over_s += TICK_S * (busy > self.threshold_pct + 5)
            self.ran.append(len(running))
            self.clock[0] += TICK_S
            if self.now - read_at >= READ_S:
                span_s = self.now - read_at
                seen = own / span_s if self.accounted else None
                self.controller.observe(CpuUsage(span_s, used / span_s, seen))
                used = own = 0.0
                read_at = self.now
        return self.now

    def _cost_pct(self, ends_at: float) -> float:
        return 1.0 if self.now < ends_at - self.length_s + self.loads_s else self.cost_pct


def machine(cost_pct: float, jobs: int = 60, length_s: float = 5.0, **options: object) -> Machine:
    cores = 16
    clock = [0.0]
    controller = Controller(80, 32, cores, clock=lambda: clock[0])
    return Machine(controller, clock, jobs, cost_pct, length_s, **options)  # type: ignore[arg-type]


def share_over(simulated: Machine) -> float:
    return simulated.over_s / max(simulated.watched_s, TICK_S)


@pytest.mark.parametrize("cost_pct", [2.0, 6.25, 12.5, 25.0])
def test_the_room_there_is_gets_used_and_no_more(cost_pct: float) -> None:
    simulated = machine(cost_pct, jobs=120)
    fits = min(32, int(80 / cost_pct))
    took_s = simulated.run()
    assert max(simulated.ran) == fits
    assert share_over(simulated) < 0.02
    assert took_s <= 1.15 * (120 / fits * 5.0) + 5.0  # and a few seconds to learn what one costs


def test_others_come_and_go() -> None:
    def steps(now: float) -> float:
        return 50.0 if now % 80 >= 40 else 5.0

    simulated = machine(10.0, jobs=250, length_s=4.0, outside_pct=steps)
    took_s = simulated.run()
    ideal_s = 250 * 4.0 / ((7 + 3) / 2)
    assert share_over(simulated) < 0.10
    assert took_s <= 1.15 * ideal_s


def test_one_always_runs_and_only_one_where_others_take_everything() -> None:
    simulated = machine(10.0, jobs=5, outside_pct=lambda _: 100.0)
    simulated.run()
    assert set(simulated.ran[1:-1]) == {1}


def test_what_costs_nothing_is_not_held_back() -> None:
    simulated = machine(0.0, jobs=300, length_s=1.0)
    took_s = simulated.run()
    assert max(simulated.ran) == 32
    assert took_s < 300 / 32 + 8


def test_what_costs_more_than_one_core_is_found_out_before_many_run() -> None:
    simulated = machine(40.0, jobs=20)
    simulated.run()
    assert max(simulated.ran) == 2
    assert share_over(simulated) == 0


def test_what_begins_quietly_is_not_started_by_the_dozen() -> None:
    simulated = machine(20.0, jobs=40, length_s=10.0, loads_s=0.6)
    simulated.run()
    assert simulated.ran[int(0.9 / TICK_S)] == 1
    assert max(simulated.ran[: int(2.5 / TICK_S)]) <= 4
    assert share_over(simulated) < 0.10


def test_where_nobody_says_what_is_ours_each_counts_as_a_core() -> None:
    simulated = machine(6.25, jobs=60, accounted=False)
    simulated.run()
    assert 1 < max(simulated.ran) <= 12
    assert share_over(simulated) < 0.10


def test_why_no_more_may_start() -> None:
    now = [0.0]
    near = Controller(80, 4, 2, clock=lambda: now[0])
    near.began()
    now[0] = 1.0
    near.observe(CpuUsage(1.0, 60.0, 50.0))
    assert near.reason == "CPU 60 %, one more would go over 80 %"
    over = Controller(80, 4, 2, clock=lambda: 0.0)
    over.observe(CpuUsage(1.0, 93.0, 0.0))
    assert over.reason == "CPU 93 % over 80 %"
