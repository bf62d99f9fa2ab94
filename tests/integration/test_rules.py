"""Rules that stop a sweep, the breaker and the order of starts, through the flow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import SweepFailed, sweep_flow
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.spec.order import shuffled
from tests.support import experiments
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def configs(marks: Path, models: str, count: int, **more: Any) -> list[dict[str, Any]]:
    base = {"marks": str(marks)} | more
    return [base | {"model": model, "x": x} for model in models for x in range(count)]


def last_session(root: Path) -> dict[str, Any]:
    (folder,) = batches(root)
    return folder.sessions()[-1]


def test_too_many_failures_stop_it_and_the_same_call_goes_on(
    served: str, results_root: Path, marks: Path
) -> None:
    (marks / "broken-A").touch()
    asked = configs(marks, "A", 40)

    def start() -> Any:
        return sweep_flow(
            asked,
            experiments.breaks,
            name="broken",
            results_root=results_root,
            workers=2,
            max_failures="10%",
        )

    summary = start()
    assert summary.stopped_by == "max_failures"
    assert summary.reasons == ["stopped by max_failures: 4 of 40 failed"]
    failed = summary.failed - summary.stopped
    assert failed in (4, 5, 6), "what both workers had begun by then may have failed as well"
    assert summary.not_started >= 40 - 4 - 3
    assert not summary.ok
    assert last_session(results_root)["how"] == "stopped by max_failures: 4 of 40 failed"
    flow_run = PrefectApi(served).flow_run("broken-")
    assert flow_run["state_type"] == "FAILED"
    assert flow_run["state"]["message"].endswith("; stopped by max_failures: 4 of 40 failed")
    before = {record["run_id"] for record in records(results_root)}

    (marks / "broken-A").unlink()
    summary = start()
    assert (summary.succeeded, summary.not_started, summary.stopped_by) == (40, 0, "")
    assert before < {record["run_id"] for record in records(results_root)}, "nothing is deleted"


def test_time_that_is_over_stops_what_runs(served: str, results_root: Path, marks: Path) -> None:
    def start(max_runtime: str | float) -> Any:
        return sweep_flow(
            configs(marks, "A", 4),
            experiments.breaks,
            name="long",
            results_root=results_root,
            workers=2,
            max_runtime=max_runtime,
            stop_grace_s=0.1,
        )

    (marks / "held").touch()
    summary = start(4)
    (marks / "held").unlink()
    assert summary.reasons == ["stopped by max_runtime: its 4s are over"]
    assert (summary.stopped, summary.succeeded) == (2, 0)
    cut = records(results_root)
    assert {(r["status"], r["cause"], r["resumable"]) for r in cut} == {
        ("failed", "stopped by max_runtime", True)
    }
    summary = start("1h")
    assert summary.succeeded == 4
    taken_up = {record["run_id"]: record["attempt"] for record in records(results_root)}
    assert [taken_up[record["run_id"]] for record in cut] == [2, 2]


def test_the_breaker_holds_what_is_bound_to_fail_and_the_next_start_tries_it(
    served: str, results_root: Path, marks: Path
) -> None:
    (marks / "broken-A").touch()
    asked = configs(marks, "AB", 30)

    def start() -> Any:
        return sweep_flow(
            asked,
            experiments.breaks,
            name="breaker",
            results_root=results_root,
            workers=2,
            order="shuffle",
            breaker=3,
        )

    summary = start()
    assert summary.succeeded == 30, "the others are not held up"
    assert 3 <= summary.failed <= 12
    assert summary.held == summary.not_started == 30 - summary.failed
    assert summary.stopped_by == ""
    assert not summary.ok
    (reason,) = summary.reasons
    assert reason.startswith(f"{summary.held} held, model=A: {summary.failed} such failed alike")
    assert "with ImportError: no package for run" in reason
    session = last_session(results_root)
    assert session["reasons"] == [reason]
    assert f"{summary.held} not started ({summary.held} held)" in session["how"]
    flow_run = PrefectApi(served).flow_run("breaker-")
    assert flow_run["state_type"] == "FAILED"
    assert reason in flow_run["state"]["message"]

    (marks / "broken-A").unlink()
    assert start().succeeded == 60


@pytest.mark.parametrize("mode", ["sequential", "thread"])
def test_rules_and_breaker_without_workers(
    mode: Any, served: str, results_root: Path, marks: Path
) -> None:
    (marks / "broken-B").touch()
    summary = sweep_flow(
        configs(marks, "AB", 10),
        experiments.breaks,
        results_root=results_root,
        mode=mode,
        workers=2,
        breaker=3,
    )
    assert (summary.succeeded, summary.failed + summary.held) == (10, 10)
    assert summary.failed <= 6
    summary = sweep_flow(
        configs(marks, "B", 10),
        experiments.breaks,
        results_root=results_root / "other",
        mode=mode,
        workers=2,
        fail_fast=True,
    )
    assert summary.stopped_by == "fail_fast"
    assert summary.failed <= 4


def test_raise_on_failure_raises_for_a_rule(served: str, results_root: Path, marks: Path) -> None:
    (marks / "broken-A").touch()
    with pytest.raises(SweepFailed) as caught:
        sweep_flow(
            configs(marks, "A", 10),
            experiments.breaks,
            results_root=results_root,
            workers=1,
            max_consecutive_failures=2,
            raise_on_failure=True,
        )
    assert caught.value.summary.stopped_by == "max_consecutive_failures"


def test_the_command_says_so_and_its_code_is_1(api_url: str, tmp_path: Path, marks: Path) -> None:
    (marks / "broken-A").touch()
    file = tmp_path / "sweep.json"
    file.write_text(
        json.dumps(
            {
                "experiment": "tests.support.experiments:breaks",
                "name": "fast",
                "results_root": "results",
                "base": {"marks": str(marks)},
                "grid": {"model": ["A"], "x": list(range(10))},
                "execution": {"workers": 1},
            }
        )
    )

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "argus_tasks", *words],
            cwd=ROOT,
            env={**os.environ, "PREFECT_API_URL": api_url},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    done = call("run", str(file), "--fail-fast", "--order", "shuffle")
    assert done.returncode == 1, done.stderr
    assert "stopped by fail_fast: A-x" in done.stdout
    assert "run the same command again to continue the sweep" in done.stdout
    told = call("status", "--results-root", str(tmp_path / "results"))
    assert "stopped by fail_fast: A-x" in told.stdout
    wrong = call("run", str(file), "--max-failures", "ten")
    assert wrong.returncode == 2
    assert 'max_failures is "ten"; expected an integer of 1 or more' in wrong.stderr


@pytest.mark.slow
def test_a_shuffle_goes_on_in_its_order(served: str, results_root: Path, marks: Path) -> None:
    def order_of(sessions: int) -> list[str]:
        (folder,) = batches(results_root)
        started = [fact["job_id"] for fact in folder.facts() if fact["event"] == "started"]
        assert len(folder.sessions()) == sessions
        return started

    asked = configs(marks, "A", 20)

    def start(count: int) -> None:
        sweep_flow(
            asked[:count],
            experiments.breaks,
            name="shuffled",
            results_root=results_root,
            workers=1,
            order="shuffle",
        )

    start(10)
    first = order_of(1)
    start(20)
    second = order_of(2)[10:]
    assert (len(first), len(second)) == (10, 10)
    assert first != sorted(first)
    (folder,) = batches(results_root)
    lines = list(folder.plan())
    keys = {line["index"]: line["digest"] for line in lines}
    jobs = {line["index"]: line["job_id"] for line in lines}
    drawn = [jobs[index] for index in shuffled(keys, folder.batch_id)]
    for session in (first, second):
        expected = [job for job in drawn if job in session]
        # Two task runs are on their way to one worker at any time.
        assert all(abs(session.index(job) - expected.index(job)) < 3 for job in session)
