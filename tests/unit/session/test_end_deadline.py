"""What is waited for at a sweep's end shares one deadline."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from argus_tasks.api.launch import leaving_at_the_deadline
from argus_tasks.base.deadline import Deadline, ReservedDeadline
from argus_tasks.session import end_deadline
from argus_tasks.session.end_deadline import EndDeadline
from argus_tasks.session.stop_state import MOST_GRACE_UNDER_A_RUNNER_S, StopState


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_shares_and_reserves(clock: Clock) -> None:
    whole = Deadline(10, clock)
    assert (whole.share(3), whole.share(30)) == (3, 10)
    clock.now += 7
    rest = ReservedDeadline(whole, 2)
    assert (whole.left_s(), rest.left_s(), rest.share(5)) == (3, 1, 1)
    clock.now += 2
    assert (whole.left_s(), rest.left_s()) == (1, 0)


def test_without_end_until_all_has_ended_then_ten_seconds(clock: Clock) -> None:
    deadline = EndDeadline(2, clock)
    assert deadline.left_s() == math.inf
    deadline.begin()
    clock.now += 9
    deadline.begin()
    assert deadline.left_s() == 1, "a second begin changes nothing"


def test_a_server_that_records_more_gets_its_time_again_but_not_for_ever(clock: Clock) -> None:
    deadline = EndDeadline(2, clock)
    deadline.begin()
    for _ in range(11):
        clock.now += 9
        deadline.progressed()
    assert deadline.left_s() == 10
    clock.now += 20
    deadline.progressed()
    assert deadline.left_s() == 120 - 119


def test_a_stop_is_over_within_8_s_a_second_one_within_2(clock: Clock) -> None:
    deadline = EndDeadline(2, clock)
    deadline.stopped()
    clock.now += 3
    deadline.begin()
    deadline.progressed()
    deadline.allow(30)
    assert deadline.left_s() <= 8 - 3 - 1, "an exit takes a moment, too"
    deadline.hurried()
    assert deadline.left_s() <= 1
    assert end_deadline.STOPPED_S + 2 <= 7


def test_who_stops_and_who_hurries() -> None:
    stops = StopState(2)
    stops.stop("max_failures")
    assert (stops.interrupted, stops.deadline.left_s()) == (False, math.inf)
    stops.on_signal(15)
    assert (stops.interrupted, stops.hurried, stops.signal) == (True, False, 15)
    assert stops.flag.by() == "max_failures", "the first who says so is named"
    stops.on_signal(1)
    assert not stops.hurried, "a terminal that closes says so more than once"
    stops.on_signal(2)
    assert (stops.hurried, stops.signal) == (True, 15)


def test_under_prefects_runner_a_long_grace_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StopState(600).grace_s == 600
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "x")
    stops = StopState(600)
    assert stops.grace_s == MOST_GRACE_UNDER_A_RUNNER_S
    stops.on_signal(15)
    assert stops.flag.by() == "Prefect"
    assert stops.deadline.left_s() < 30, "then the runner kills"


def test_whatever_hangs_after_a_stop_the_process_leaves() -> None:
    stops = StopState(0)
    done: list[str] = []
    left = threading.Event()

    def leave(session: Any) -> None:
        done.append("left")
        left.set()

    session: Any = SimpleNamespace(
        stops=stops, end_workers=lambda *, now: done.append(f"killed {now}")
    )
    with leaving_at_the_deadline(session, leave):
        assert not left.wait(0.5), "nobody has stopped it"
        stops.on_signal(2)
        stops.on_signal(2)
        assert left.wait(20)
    assert done[:2] == ["killed True", "left"]


def test_a_stop_that_ends_in_time_is_left_alone() -> None:
    stops = StopState(0)
    left = threading.Event()
    session: Any = SimpleNamespace(stops=stops, end_workers=lambda *, now: None)
    with leaving_at_the_deadline(session, lambda _: left.set()):
        stops.on_signal(2)
        stops.on_signal(2)
    assert not left.wait(3)
