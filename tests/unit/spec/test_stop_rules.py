"""The rules that stop a sweep: what is checked, what counts, what is said."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.session.stop_rule_monitor import StopRuleMonitor
from argus_tasks.spec.options import override
from argus_tasks.spec.sections import Stop
from argus_tasks.spec.sweep_spec import SweepSpec
from tests.support.news import failed, planned, skipped, stopped, succeeded

RUNS = planned([{"x": x} for x in range(200)])


def watched(total: int = 200, **rules: Any) -> tuple[StopRuleMonitor, list[str]]:
    said: list[str] = []
    return StopRuleMonitor(Stop(**rules), total, said.append), said


def test_so_many_failures() -> None:
    monitor, said = watched(max_failures=10)
    for run in RUNS[:9]:
        monitor.ended(*failed(run))
        monitor.ended(*succeeded(run))
    assert said == []
    monitor.ended(*failed(RUNS[9]))
    assert said == ["max_failures"]
    assert monitor.reason == "max_failures: 10 of 200 failed"
    monitor.ended(*failed(RUNS[10]))
    assert said == ["max_failures"], "once is enough"
    assert monitor.reason == "max_failures: 10 of 200 failed"


@pytest.mark.parametrize(
    ("share", "total", "most"),
    [("5%", 200, 10), ("5%", 201, 11), ("1%", 3, 1), ("100%", 7, 7), ("7%", 100, 7)],
)
def test_a_share_is_of_all_configs_rounded_up(share: str, total: int, most: int) -> None:
    assert Stop(max_failures=share).most_failures(total) == most


def test_so_many_in_a_row() -> None:
    monitor, said = watched(max_consecutive_failures=3)
    for run in RUNS[:6]:
        monitor.ended(*(failed(run) if run.index % 3 else succeeded(run)))
    assert said == []
    monitor.ended(*skipped(RUNS[6]))
    monitor.ended(*stopped(RUNS[7]))
    monitor.ended(*failed(RUNS[8]))
    assert said == ["max_consecutive_failures"]
    assert monitor.reason == "max_consecutive_failures: 3 failed one after the other"


def test_the_first_one() -> None:
    monitor, said = watched(fail_fast=True, max_failures=1)
    monitor.ended(*succeeded(RUNS[0]))
    monitor.ended(*skipped(RUNS[1]))
    monitor.ended(*stopped(RUNS[2]))
    assert said == []
    monitor.ended(*failed(RUNS[3]))
    assert (said, monitor.reason) == (["fail_fast"], "fail_fast: run-3 failed")


def test_so_much_time() -> None:
    monitor, said = watched(max_runtime=0.05)
    monitor.start()
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (said, monitor.reason) == (["max_runtime"], "max_runtime: its 0.05s are over")
    monitor.close()


def test_time_that_is_over_after_the_end_stops_nothing() -> None:
    monitor, said = watched(max_runtime=0.2)
    monitor.start()
    monitor.close()
    time.sleep(0.3)
    assert said == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_failures": 0},
        {"max_failures": "0%"},
        {"max_failures": "101%"},
        {"max_failures": "ten"},
        {"max_failures": True},
        {"max_failures": 1.5},
        {"max_consecutive_failures": 0},
        {"max_consecutive_failures": "5%"},
        {"fail_fast": 1},
        {"max_runtime": 0},
        {"max_runtime": "soon"},
        {"breaker": 1},
        {"breaker": "3"},
    ],
)
def test_what_is_no_rule_is_said(wrong: dict[str, Any]) -> None:
    ((key, value),) = wrong.items()
    with pytest.raises(BadInput, match=rf"^{key} is {re.escape(json.dumps(value))}; expected "):
        override(SweepSpec(), wrong)
