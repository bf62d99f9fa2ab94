"""Rules within a session: what is told while it goes on, what is not started, who is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support import experiments
from tests.support.sessions import records, request_for


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "broken-A").touch()
    return tmp_path


def session_of(root: Path, marks: Path, **options: Any) -> SweepSession:
    configs = [{"marks": str(marks), "model": m, "x": x} for m in "AB" for x in range(5)]
    return new_session(request_for(configs, experiments.breaks, root, mode="thread", **options))


def reasons(root: Path) -> list[str]:
    (folder,) = batches(root)
    return list(folder.sessions()[-1].get("reasons") or [])


def test_what_is_held_is_told_while_the_sweep_goes_on(results_root: Path, marks: Path) -> None:
    with session_of(results_root, marks, breaker=2) as session:
        for index in (5, 6, 0):
            AttemptRunner(session).run_one(index, 1)
        assert reasons(results_root) == []
        AttemptRunner(session).run_one(1, 1)
        (reason,) = reasons(results_root)
        assert reason.startswith("3 held, model=A: 2 such failed alike with ImportError")
        held = AttemptRunner(session).run_one(2, 1)
        assert held.ending.cause == "stopped by breaker"
        assert held.ending.resumable
        assert AttemptRunner(session).run_one(7, 1).ending.status == "succeeded"
        assert len(records(results_root)) == 5, "what is held has no folder"
        summary = session.summary()
    assert (summary.held, summary.not_started, summary.stopped) == (3, 5, 0)
    assert summary.sentence() == "3 of 10 succeeded, 2 failed, 5 not started (3 held)"


def test_a_rule_is_named_where_it_stops_and_a_person_where_one_does(
    results_root: Path, marks: Path
) -> None:
    with session_of(results_root, marks, fail_fast=True) as session:
        AttemptRunner(session).run_one(0, 1)
        assert (session.stopping, session.stops.interrupted) == (True, False)
        assert AttemptRunner(session).run_one(5, 1).ending.cause == "stopped by fail_fast"
        assert session.stop_reason == "fail_fast: A-x0 failed"
        session.stops.stop("user")
        assert session.stops.interrupted, "a Ctrl-C is one, also while a rule is stopping"
    assert reasons(results_root) == ["stopped by fail_fast: A-x0 failed"]
    with session_of(results_root, marks, fail_fast=True) as session:
        session.stops.stop("user")
        assert (session.stops.interrupted, session.stop_reason) == (True, "user")
    assert reasons(results_root) == []


def test_failures_that_are_tried_again_do_not_count(results_root: Path) -> None:
    configs = [{"succeeds_at": 2, "x": x} for x in range(3)]
    request = request_for(
        configs, experiments.flaky, results_root, mode="thread", max_attempts=2, fail_fast=True
    )
    with new_session(request) as session:
        for index in range(3):
            AttemptRunner(session).run_one(index, 1)
            assert AttemptRunner(session).wants_retry(index, 1)
            AttemptRunner(session).run_one(index, 2)
        assert not session.stopping
    assert session.summary().ok
