"""Limits on a real Prefect server: a person's word, other sweeps, killed ones, and no server."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from argus_tasks import sweep_flow
from argus_tasks.admission.cpu import Rule
from argus_tasks.admission.gate import Ticket
from argus_tasks.cli.limit import show
from argus_tasks.orchestration.limits import limits
from argus_tasks.orchestration.limits.limits import (
    LimitKeeper,
    set_auto,
    set_by_person,
)
from argus_tasks.orchestration.prefect_api.limit_server import LEASE_S, LimitServer, ServerLimit
from argus_tasks.session.admission_queue import AdmissionQueue
from argus_tasks.session.prepared_sweep import make_plan
from tests.support import experiments
from tests.support.sessions import request_for

# On a quiet machine; what is asserted is that it is obeyed at the next asking.
OBEYED_WITHIN_S = 2.0
PATIENCE_S = 60.0


class Sweep:
    """An admission with its keeper; attempts are tickets that the test takes and leaves."""

    def __init__(self, admission: AdmissionQueue, keeper: LimitKeeper) -> None:
        self.admission = admission
        self.keeper = keeper
        self.tickets: list[Ticket] = []
        self.window = 6

    def start_all(self) -> int:
        """Start what may start, as far as the window goes; how many run then."""
        take, gate = self.admission.waiting.take, self.admission.gate
        while len(self.tickets) < self.window and (found := take(gate)) is not None:
            self.tickets.append(found[1])
        return len(self.tickets)

    def end(self, count: int) -> None:
        for _ in range(count):
            self.tickets.pop().leave()


@contextmanager
def sweep(root: Path, count: int = 900, **options: Any) -> Iterator[Sweep]:
    """A sweep that could run `workers` at once."""
    configs = [{"x": index, "kind": "odd" if index % 2 else "even"} for index in range(count)]
    options = {"workers": 4, "mode": "dynamic", "cpu_threshold": 100} | options
    request = request_for(configs, experiments.noop, root, **options)
    admission = AdmissionQueue(request, make_plan(request).to_do, lambda: False)
    keeper = LimitKeeper(admission)
    started = Sweep(admission, keeper)
    try:
        yield started
    finally:
        keeper.close(5)
        admission.gate.close()


@pytest.fixture
def server(api_url: str) -> Iterator[LimitServer]:
    with temporary_settings({PREFECT_API_URL: api_url}):
        made = LimitServer()
        made.read("none")  # open it here: other threads know no settings
        yield made
        made.close()


@pytest.fixture
def name() -> str:
    return f"limit-{uuid.uuid4().hex[:8]}"


def within(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> float:
    """Wait until it holds; how long that took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, "it has not come to that in time"
        time.sleep(0.02)
    return time.monotonic() - begun


def taken_of(server: LimitServer, name: str) -> int | None:
    found = server.read(name)
    return found.taken if found else None


def limit_of(server: LimitServer, name: str) -> ServerLimit:
    found = server.read(name)
    assert found is not None
    return found


Sync = tuple[float, Rule, str]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[Sync]:
    """Each time that the sweep has asked the server: when it began to, and what it then obeys."""
    found: list[Sync] = []
    whole = limits._CpuLimit.sync

    def sync(kept: limits._CpuLimit) -> None:
        began = time.monotonic()
        whole(kept)
        found.append((began, kept._cpu.rule, kept._cpu._why))

    monkeypatch.setattr(limits._CpuLimit, "sync", sync)
    return found


def test_a_person_is_obeyed_up_down_paused_disabled_until_the_limit_is_deleted(
    server: LimitServer, name: str, results_root: Path, syncs: list[Sync]
) -> None:
    """Whoever changes the limit is obeyed when the server is asked the next time."""
    assert 2 * limits.ASK_EVERY_S < OBEYED_WITHIN_S, "asked, and answered, on a quiet machine"

    def next_asking() -> tuple[Rule, str]:
        changed_at = time.monotonic()
        within(lambda: any(began > changed_at for began, *_ in syncs))
        _, rule, why = next(sync for sync in syncs if sync[0] > changed_at)
        return rule, why

    with sweep(results_root, cpu_limit=name) as one:
        within(lambda: one.start_all() >= 4)
        within(lambda: taken_of(server, name) == 4)
        assert limit_of(server, name).limit == 4  # the controller's word, for all to see

        server.change(name, limit=2)
        assert next_asking() == (Rule.PERSON, f"{name} is 2")
        one.end(len(one.tickets) - 2)
        assert one.start_all() == 2
        assert one.admission.holding == (f"{name} is 2",)
        within(lambda: limit_of(server, name).taken == 2)

        server.change(name, limit=3)
        assert next_asking() == (Rule.PERSON, f"{name} is 3")
        within(lambda: one.start_all() == 3)

        server.change(name, limit=0)
        assert next_asking() == (Rule.PERSON, f"paused: {name} is 0")
        within(lambda: one.start_all() == 3 and "paused" in str(one.admission.holding))
        one.end(3)
        assert one.start_all() == 0  # a pause is a pause: not even one

        server.change(name, limit=2, active=False)
        assert next_asking()[0] is Rule.OFF
        within(lambda: one.start_all() > 4)  # disabled: only the workers count
        one.end(len(one.tickets))

        server.change(name, limit=2, active=True)
        within(lambda: one.admission.cpu and one.admission.cpu.rule is Rule.PERSON)
        within(lambda: one.start_all() == 2)
        time.sleep(1)
        assert one.start_all() == 2
        assert limit_of(server, name).limit == 2  # left alone
        one.end(2)

        server._ask("DELETE", f"/v2/concurrency_limits/{name}")
        within(lambda: one.start_all() >= 4)
        within(lambda: limit_of(server, name).limit == 4)
        one.end(len(one.tickets))
    assert limit_of(server, name).taken == 0


def test_the_command_sets_a_limit_and_leaves_it_to_the_controller_again(
    server: LimitServer, name: str, results_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> str:
        show(server, name)
        return capsys.readouterr().out

    assert shown() == f"{name}: there is none; the next sweep of mode dynamic creates it\n"
    with sweep(results_root, cpu_limit=name) as one:
        assert one.admission.cpu is not None
        within(lambda: one.start_all() >= 4)
        one.end(len(one.tickets))
        assert shown() == f"{name}: 4 (the controller's), 4 in use\n"
        set_by_person(server, name, 4)  # the value it has: still a person's word
        within(lambda: one.admission.cpu and one.admission.cpu.rule is Rule.PERSON)
        set_by_person(server, name, 1)
        within(lambda: turn_of(one) == 1)
        assert shown().startswith(f"{name}: 1 (a person's), ")
        assert set_auto(server, name)
        within(lambda: one.start_all() >= 4)
        within(lambda: limit_of(server, name).limit == 4)


@pytest.mark.parametrize("by", ["a person", "the controller"])
def test_two_sweeps_share_fairly_and_one_that_is_alone_has_all(
    server: LimitServer, name: str, tmp_path: Path, by: str
) -> None:
    if by == "a person":
        server.make(name, 4)
    with sweep(tmp_path / "a", cpu_limit=name) as one:
        within(lambda: taken_of(server, name) == 4)
        with sweep(tmp_path / "b", cpu_limit=name) as two:

            def turn() -> tuple[int, int]:
                """Everything that runs ends, and others start."""
                time.sleep(0.1)
                for each in (one, two):
                    each.end(len(each.tickets))
                    each.start_all()
                return len(one.tickets), len(two.tickets)

            if by == "a person":
                within(lambda: turn() == (2, 2))
                assert limit_of(server, name).taken <= 4
            else:
                within(lambda: turn()[1] >= 2)
            one.end(len(one.tickets))
            two.end(len(two.tickets))
        within(lambda: turn_of(one) >= 4)


def turn_of(one: Sweep) -> int:
    time.sleep(0.1)
    one.end(len(one.tickets))
    return one.start_all()


@pytest.mark.slow
def test_a_remainder_goes_round(server: LimitServer, name: str, tmp_path: Path) -> None:
    server.make(name, 1)
    ran = [0, 0]
    with (
        sweep(tmp_path / "a", cpu_limit=name) as one,
        sweep(tmp_path / "b", cpu_limit=name) as two,
    ):
        deadline = time.monotonic() + 25
        while min(ran) == 0 and time.monotonic() < deadline:
            for index, each in enumerate((one, two)):
                each.end(len(each.tickets))
                ran[index] += each.start_all()
            assert len(one.tickets) + len(two.tickets) <= 1
            time.sleep(0.05)
    assert min(ran) > 0, ran


def test_named_limits_are_made_where_absent_respected_where_there(
    server: LimitServer, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"limits": {name: {"limit": 3, "where": {"kind": "odd"}}}, "mode": "process_pool"}
    with sweep(tmp_path / "a", 40, **where) as one:
        one.window = 40
        within(lambda: one.start_all() == 23)  # all the even ones, and three of the odd
        assert one.admission.holding == (f"waiting for {name}",)
        assert limit_of(server, name) == ServerLimit(3, True, 3)
        show(server, name)
        said = "as it was made or set; sweeps keep to it"
        assert capsys.readouterr().out == f"{name}: 3 ({said}), 3 in use\n"
        server.change(name, limit=1)
        with sweep(tmp_path / "b", 4, **where) as two:
            time.sleep(OBEYED_WITHIN_S)
            assert two.start_all() == 2  # the even ones: it is not raised to 3 again
            one.end(len(one.tickets))
            within(lambda: two.start_all() == 3)
            two.end(3)
    assert limit_of(server, name).taken == 0
    assert limit_of(server, name).limit == 1


def test_without_a_server_the_sweep_goes_on_and_says_so_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        caplog.at_level(logging.WARNING, "argus_tasks.limits"),
        sweep(tmp_path / "a", cpu_limit=name, limits={f"{name}-n": 2}) as one,
    ):
        assert one.start_all() == 0
        within(lambda: one.start_all() == 2)
        one.end(2)
        assert one.start_all() == 2
        time.sleep(1.5)
    assert len(caplog.records) == 1
    assert "by itself" in caplog.text


def test_a_sweep_never_exceeds_its_limits_while_they_are_changed(
    served: str, server: LimitServer, name: str, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    obeyed_at: list[float] = []

    def change() -> None:
        within(lambda: any(marks.iterdir()))
        server.change(name, limit=1)
        time.sleep(OBEYED_WITHIN_S)
        (tmp_path / "changed").touch()
        within(lambda: (taken_of(server, name) or 0) <= 1)
        obeyed_at.append(time.monotonic())

    changer = threading.Thread(target=change)
    changer.start()
    configs = [{"x": x, "marks": str(marks)} for x in range(30)]
    for config in configs[10:]:  # what starts after these starts when it is obeyed
        config["until"] = str(tmp_path / "changed")
    summary = sweep_flow(
        configs,
        experiments.spanning,
        results_root=tmp_path / "results",
        workers=6,
        mode="thread",
        limits={name: 3},
    )
    changer.join(PATIENCE_S)
    assert summary.succeeded == 30
    spans = sorted(tuple(map(float, mark.read_text().split())) for mark in marks.iterdir())
    most = {at: sum(begun <= at < ended for begun, ended in spans) for at, _ in spans}
    assert 1 < max(most.values()) <= 3
    assert max((count for at, count in most.items() if at > obeyed_at[0]), default=1) == 1
    assert limit_of(server, name).taken == 0


HOLDER = """
import sys, time
from pathlib import Path
from prefect.settings import PREFECT_API_URL, temporary_settings
from tests.integration.test_limits import sweep
with temporary_settings({PREFECT_API_URL: sys.argv[1]}):
    with sweep(Path(sys.argv[2]), mode="process_pool", limits={sys.argv[3]: 4}) as one:
        while one.start_all() < 4:
            time.sleep(0.02)
        print("holds", flush=True)
        time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_slots_of_a_killed_sweep_come_back(
    api_url: str, server: LimitServer, name: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", HOLDER, api_url, str(tmp_path / "a"), name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        assert limit_of(server, name).taken == 4
        os.kill(process.pid, signal.SIGKILL)
    with sweep(tmp_path / "b", mode="process_pool", limits={name: 4}) as two:
        time.sleep(1)
        assert two.start_all() == 0
        # Its lease, and the server's next look: 75 s, and what a busy machine adds to them.
        looks_s = get_current_settings().server.services.repossessor.loop_seconds
        assert LEASE_S + looks_s == 75
        within(lambda: two.start_all() == 4, LEASE_S + looks_s + 25)
