"""The gate: all or nothing, woken by ends, fair to those that wait, and free where nothing is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import pytest

from argus_tasks.admission.gate import Gate, Ticket
from argus_tasks.admission.resource import Demand, Refusal, Resource
from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.session.waiting_runs import WaitingRuns


class Places(Resource):
    """So many at once of those that ask for `name`; `size` may be changed while it is in use."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.taken = 0
        self._callback: Callable[[], None] = lambda: None

    def try_take(self, demand: Demand, running: int) -> object | Refusal:
        if self.name not in dict(demand.limits):
            return False
        if self.taken >= self.size:
            return Refusal(f"waiting for {self.name}")
        self.taken += 1
        return True

    def give_back(self, grant: object) -> None:
        self.taken -= bool(grant)

    def environment(self, grant: object) -> Mapping[str, str]:
        return {self.name.upper(): "1"} if grant else {}

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def resize(self, size: int) -> None:
        self.size = size
        self._callback()


def wants(index: int, *names: str, alone: bool = False) -> Demand:
    return Demand(index, tuple((name, 1) for name in names), alone)


def entered(answer: Ticket | Refusal) -> Ticket:
    assert isinstance(answer, Ticket)
    return answer


def never() -> bool:
    return False


def planned(index: int) -> PlannedRun:
    return PlannedRun(index, {}, None, f"c{index}", f"j{index}", None, None, Action.RUN)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def in_thread(gate: Gate, demand: Demand, out: list[Ticket | None]) -> threading.Thread:
    before = gate.waiting
    thread = threading.Thread(target=lambda: out.append(gate.enter(demand, never)))
    thread.start()
    until(lambda: gate.waiting > before)
    return thread


def test_a_start_takes_everything_or_nothing() -> None:
    gpu, license_ = Places("gpu", 2), Places("license", 1)
    gate = Gate([gpu, license_])
    first = entered(gate.try_enter(wants(0, "gpu", "license")))
    assert first.environment == {"GPU": "1", "LICENSE": "1"}
    assert gate.try_enter(wants(1, "gpu", "license")) == Refusal("waiting for license")
    assert (gpu.taken, license_.taken, gate.running) == (1, 1, 1)
    first.leave()
    first.leave()
    assert (gpu.taken, license_.taken, gate.running) == (0, 0, 0)


def test_who_waits_is_woken_by_an_end_and_by_a_change_of_the_resource() -> None:
    places = Places("gpu", 1)
    gate = Gate([places])
    first = entered(gate.try_enter(wants(0, "gpu")))
    out: list[Ticket | None] = []
    threads = [in_thread(gate, wants(index, "gpu"), out) for index in (1, 2)]
    assert gate.holding == ("waiting for gpu", "waiting for gpu")
    first.leave()
    until(lambda: len(out) == 1)
    places.resize(2)
    for thread in threads:
        thread.join(10)
    assert gate.running == 2
    assert gate.waiting == 0


def test_a_stop_ends_the_wait_and_leaves_nothing_behind() -> None:
    gate = Gate([Places("gpu", 0)])
    stop = threading.Event()
    out: list[Ticket | None] = []
    thread = threading.Thread(target=lambda: out.append(gate.enter(wants(0, "gpu"), stop.is_set)))
    thread.start()
    until(lambda: gate.waiting == 1)
    stop.set()
    thread.join(2)
    assert out == [None]
    assert (gate.waiting, gate.running) == (0, 0)


def test_who_is_stopped_while_it_waits_lets_those_behind_it_in() -> None:
    told: list[int] = []
    gate = Gate([Places("gpu", 3)], changed=lambda: told.append(1))
    first = entered(gate.try_enter(wants(0, "gpu")))
    stop = threading.Event()
    out: list[Ticket | None] = []
    alone = wants(1, "gpu", alone=True)
    stopped = threading.Thread(target=lambda: out.append(gate.enter(alone, stop.is_set)))
    stopped.start()
    until(lambda: gate.waiting == 1)
    behind: list[Ticket | None] = []
    thread = in_thread(gate, wants(2, "gpu"), behind)
    assert isinstance(gate.try_enter(wants(3, "gpu")), Refusal)
    stop.set()
    thread.join(10)
    assert out == [None]
    assert isinstance(behind[0], Ticket), "it had only the one before it to wait for"
    until(lambda: told == [1])
    assert gate.running == 2
    first.leave()


def test_a_retry_that_waits_goes_before_first_attempts_of_its_kind() -> None:
    gate = Gate([Places("gpu", 1)])
    first = entered(gate.try_enter(wants(0, "gpu")))
    out: list[Ticket | None] = []
    thread = in_thread(gate, wants(1, "gpu"), out)
    first.leave()
    assert isinstance(gate.try_enter(wants(2, "gpu")), Refusal)
    thread.join(10)
    assert isinstance(out[0], Ticket)


def test_the_refused_are_told_once_that_there_may_be_room_and_others_never() -> None:
    told: list[int] = []
    places = Places("gpu", 1)
    gate = Gate([places], changed=lambda: told.append(1))
    first = entered(gate.try_enter(wants(0, "gpu")))
    places.resize(1)
    assert told == []
    assert isinstance(gate.try_enter(wants(1, "gpu")), Refusal)
    first.leave()
    places.resize(1)
    assert told == [1]


def test_alone_waits_for_all_and_lets_nobody_in() -> None:
    gate = Gate()
    first = entered(gate.try_enter(wants(0)))
    out: list[Ticket | None] = []
    thread = in_thread(gate, wants(1, alone=True), out)
    assert isinstance(gate.try_enter(wants(2)), Refusal)  # else it might wait for ever
    first.leave()
    thread.join(10)
    (alone,) = out
    assert alone is not None
    assert gate.try_enter(wants(3)) == Refusal("another run needs the machine for itself")
    alone.leave()
    entered(gate.try_enter(wants(3)))


def test_never_more_than_there_are_places_whatever_the_threads_do() -> None:
    places = Places("gpu", 3)
    gate = Gate([places])
    most: list[int] = []

    def work(index: int) -> None:
        for _ in range(50):
            ticket = gate.enter(wants(index, "gpu"), never)
            assert ticket is not None
            most.append(places.taken)
            ticket.leave()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 600
    assert max(most) <= 3
    assert (gate.running, places.taken) == (0, 0)


def test_what_waits_for_a_license_does_not_hold_back_others() -> None:
    gate = Gate([Places("license", 1)])
    demands = [wants(0, "license"), wants(1, "license"), wants(2, "license"), wants(3), wants(4)]
    waiting = WaitingRuns(map(planned, range(5)), lambda run: demands[run.index])
    order = []
    tickets = []
    while found := waiting.take(gate):
        order.append(found[0].index)
        tickets.append(found[1])
    assert order == [0, 3, 4]
    assert waiting.holding == ("waiting for license",)
    tickets[0].leave()
    found = waiting.take(gate)
    assert found is not None
    assert found[0].index == 1
    assert waiting.holding == ()


@pytest.mark.parametrize("count", [20_000])
def test_a_sweep_without_limits_pays_nothing_measurable(count: int) -> None:
    gate = Gate()
    waiting = WaitingRuns(map(planned, range(count)), lambda run: Demand(run.index))
    begun = time.process_time()
    while found := waiting.take(gate):
        found[1].leave()
    assert (time.process_time() - begun) / count < 20e-6  # 2 µs, on a machine to itself
