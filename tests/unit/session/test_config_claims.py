"""Two sessions on one results root: no config is run twice, whatever the sweeps are called."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.claims import read_claims
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import new_session
from tests.support import experiments
from tests.support.sessions import records, request_for, run_session

CONFIGS = [{"x": x} for x in range(3)]


def session_of(root: Path, name: str, experiment: Any = experiments.noop, **more: Any) -> Any:
    return new_session(request_for(CONFIGS, experiment, root, name=name, mode="thread", **more))


def wait_for(happens: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.005)


def waits(ctx: Any) -> dict[str, Any]:
    ctx.log_metric(0, {"x": 1})
    while not Path(ctx.config["go_on"]).exists():
        time.sleep(0.005)
    return {"x": 1}


def test_what_another_sweep_has_done_since_the_plan_is_reused(results_root: Path) -> None:
    late = session_of(results_root, "late")
    assert {run.action for run in late.plan.runs} == {Action.RUN}
    run_session(session_of(results_root, "early"))
    summary = run_session(late)
    assert (summary.succeeded, summary.reused, summary.not_started) == (3, 3, 0)
    assert len(records(results_root)) == 3
    assert late.progress.snapshot().reused == 3
    assert read_claims(results_root) == []


def test_so_is_a_failure(results_root: Path) -> None:
    late = session_of(results_root, "late", experiments.mixed)  # no config has what it asks for
    run_session(session_of(results_root, "early", experiments.mixed))
    before = records(results_root)
    summary = run_session(late)
    assert (summary.failed, len(summary.failed_run_ids)) == (3, 3)
    assert records(results_root) == before, "nothing was run again, in a new folder or the old"
    assert len(before) == 3
    again = session_of(results_root, "again", experiments.mixed)
    assert {run.action for run in again.plan.runs} == {Action.RUN}, "who plans anew runs it again"


def test_a_fresh_sweep_runs_everything_all_the_same(results_root: Path) -> None:
    late = session_of(results_root, "late", fresh=True)
    run_session(session_of(results_root, "early"))
    summary = run_session(late)
    assert (summary.succeeded, summary.reused) == (3, 0)
    assert len(records(results_root)) == 6


def test_what_another_sweep_runs_now_is_left_alone_until_it_has_ended(results_root: Path) -> None:
    with session_of(results_root, "one") as one, session_of(results_root, "two") as two:
        (first, second, _) = one.plan.runs
        assert one.claim(first)
        assert not two.claim(two.plan.runs[0])
        assert two.claim(two.plan.runs[1])
        assert not one.claim(second)
        assert two.claims.freed() == []
        AttemptRunner(one).run_one(0, 1)
        assert two.claims.freed() == []
        assert two.summary().reused == 1
        assert two.claims.waiting == {}
        two.stops.stop("user")
        AttemptRunner(two).run_one(1, 1)  # it was to run, and is let go
        assert one.claims.freed() == [one.plan.runs[1]]


def test_a_config_whose_owner_was_killed_is_taken_up_in_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "results"
    code = f"""
from tests.support import experiments
from tests.support.sessions import request_for, run_session
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import new_session
from pathlib import Path
configs = [{{"x": 1, "marks": {str(tmp_path)!r}}}]
request = request_for(configs, experiments.slow, Path({str(root)!r}), name="one", workers=1)
if __name__ == "__main__":
    run_session(new_session(request))
"""
    configs = [{"x": 1, "marks": str(tmp_path)}]
    request = request_for(configs, experiments.slow, root, name="two", mode="thread")
    two = new_session(request)  # planned before the other one starts
    process = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: (tmp_path / "1-1").exists())
    two.__enter__()
    try:
        assert not two.claim(two.plan.runs[0])
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert two.claim(two.plan.runs[0])
        ours = two.claims.ours(two.plan.runs[0])
        (record,) = records(root)
        assert ours.action is Action.RESUME
        assert ours.run_id == record["run_id"]
        assert (record["status"], record["cause"]) == ("failed", "parent lost")
        (claim,) = read_claims(root)
        assert claim.run_id == record["run_id"]
    finally:
        two.close()


def test_renewing_tells_that_a_claim_was_taken_over(results_root: Path) -> None:
    with session_of(results_root, "one") as one:
        assert one.claim(one.plan.runs[0])
        assert one.claim(one.plan.runs[1])
        assert one.claims.renew()
        claim = read_claims(results_root)[0]
        said = json.loads(Path(claim.path).read_text())
        Path(claim.path).write_text(json.dumps({**said, "claimant": "another", "host": "there"}))
        assert not one.claims.renew()


def test_who_has_lost_its_claim_writes_nothing_and_stops(results_root: Path) -> None:
    go_on = results_root.parent / "go-on"
    request = request_for([{"go_on": str(go_on)}], waits, results_root, mode="thread")
    with new_session(request) as session:
        thread = threading.Thread(target=AttemptRunner(session).run_one, args=(0, 1))
        thread.start()
        wait_for(lambda: list(results_root.glob("*/metrics.jsonl")))
        (claim,) = read_claims(results_root)
        said = json.loads(Path(claim.path).read_text())
        Path(claim.path).unlink()
        Path(claim.path).write_text(json.dumps({**said, "claimant": "another", "host": "there"}))
        go_on.touch()
        thread.join(10)
        assert session.stopping
        assert session.stopped_by == "another host"
        (record,) = records(results_root)
        assert record["status"] == "running"
        ledger = (session.folder.path / "ledger.jsonl").read_text()
        assert [json.loads(line)["event"] for line in ledger.splitlines()] == ["started"]
        assert not (record["dir"] / "metrics.json").exists()
    assert Path(claim.path).exists(), "it is the other one's"
