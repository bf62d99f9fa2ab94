"""A full disk: a small file system of its own under the results root."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity, line_holds
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support.sessions import records, request_for, run_session


def fill(path: Path) -> None:
    """Take every byte that is left."""
    with path.open("ab", buffering=0) as handle:
        try:
            while True:
                handle.write(b"\0" * 4096)
        except OSError:
            pass


def hog(ctx: Any) -> dict[str, Any]:
    """Writes until there is no room, in the run where the config says so."""
    if ctx.config.get("hog"):
        with (ctx.artifacts_dir / "all").open("wb", buffering=0) as handle:
            while True:
                handle.write(b"\0" * 4096)
    ctx.log_metric(0, {"loss": 1.0})
    return {"x": ctx.config["x"]}


def hogs(ctx: Any) -> dict[str, Any]:
    """Writes until there is no room, where the config says so and nobody has made some."""
    if ctx.resumed or not ctx.config.get("hog"):
        return {"x": ctx.config["x"]}
    (ctx.checkpoints_dir / "kept").write_text("so far")
    return hog(ctx)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_disk_that_runs_full_stops_the_sweep_and_costs_no_config(
    small_root: Path, fresh: bool, caplog: pytest.LogCaptureFixture
) -> None:
    configs = [{"x": x, "hog": x == 2} for x in range(12)]

    def sweep() -> SweepSession:
        options: dict[str, Any] = {"workers": 1, "fresh_process": fresh, "max_attempts": 3}
        return new_session(request_for(configs, hogs, small_root, name="s", **options))

    summary = run_session(sweep())
    assert (summary.succeeded, summary.stopped, summary.not_started) == (2, 1, 9)
    assert summary.failed == summary.stopped
    assert summary.stopped_by == "disk full"
    assert [r.message for r in caplog.records if "no room" in r.message] == [
        f"no room under {small_root}: nothing new starts; make some, and go on"
    ]
    assert [line["cause"] for line in ledger(small_root) if line["event"] == "ended"] == [
        None,
        None,
        "stopped by disk full",
    ]
    assert nothing_half_written(small_root)
    verdict = verify(small_root)
    assert verdict.findings == []
    assert list(verdict.outcomes.values()) == [
        {"succeeded": 2, "stopped": 1, "not started: stopped": 9}
    ]
    (cut,) = [record for record in records(small_root) if record["status"] == "failed"]
    assert (cut["cause"], cut["resumable"]) == ("stopped by disk full", True)

    (cut["dir"] / "artifacts" / "all").unlink()
    again = run_session(sweep())
    assert (again.succeeded, again.reused) == (12, 2)
    (taken_up,) = [record for record in records(small_root) if record["attempt"] == 2]
    assert taken_up["run_id"] == cut["run_id"]
    assert (cut["dir"] / "checkpoints" / "kept").read_text() == "so far"
    assert verify(small_root).findings == []


def test_a_file_system_without_inodes_is_full_too(root_of_few: Path) -> None:
    configs = [{"x": x} for x in range(30)]

    def sweep() -> SweepSession:
        return new_session(request_for(configs, hog, root_of_few, name="s", workers=2))

    summary = run_session(sweep())
    assert summary.stopped_by == "disk full"
    assert summary.succeeded
    assert summary.failed == summary.stopped <= 2
    assert verify(root_of_few).findings == []
    more = "remount,nr_inodes=0"
    subprocess.run(["mount", "-o", more, str(root_of_few)], check=True, capture_output=True)
    again = run_session(sweep())
    assert (again.succeeded, again.reused) == (30, summary.succeeded)
    assert verify(root_of_few).findings == []


def full_elsewhere(ctx: Any) -> dict[str, Any]:
    """Has a disk of its own, which is full for some of the configs."""
    if ctx.config["full"]:
        raise OSError(errno.ENOSPC, "no space left on the experiment's own disk")
    return {}


def test_a_single_run_whose_own_disk_is_full_costs_itself_alone(results_root: Path) -> None:
    def causes(full: str) -> list[str | None]:
        configs = [{"x": x, "full": mark == "f", "all": full} for x, mark in enumerate(full)]
        request = request_for(configs, full_elsewhere, results_root, name=full, mode="thread")
        with new_session(request) as session:
            runner = AttemptRunner(session)
            return [runner.run_one(index, 1).ending.cause for index in range(len(full))]

    assert causes("f.f.") == ["disk full", None, "disk full", None]
    stopped = "stopped by disk full"
    assert causes("f.ff.") == ["disk full", None, "disk full", stopped, stopped]


def test_words_that_find_no_room_are_written_when_there_is(small_root: Path) -> None:
    """Room that is made while the sweep winds down serves its last words."""
    configs = [{"x": 0, "hog": True}, {"x": 1}]
    session = new_session(request_for(configs, hog, small_root, workers=1))
    with session:
        cause = AttemptRunner(session).run_one(0, 1).ending.cause
        fill(small_root / "ballast")  # what the hog's own failed words have given back
        (small_root / "ballast").unlink()
    assert cause == "stopped by disk full"
    assert nothing_half_written(small_root)
    (record,) = records(small_root)
    assert (record["status"], record["resumable"]) == ("failed", True)
    plan = make_plan(request_for(configs, hog, small_root))
    assert (plan.count(Action.RESUME), plan.count(Action.RUN)) == (1, 1)


def nothing_half_written(root: Path) -> bool:
    files = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".tmp"]
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".jsonl":
            assert [json.loads(line) for line in path.read_text().splitlines()], path
    return True


def ledger(root: Path) -> list[dict[str, Any]]:
    (path,) = root.glob(".sweep/*/ledger.jsonl")
    lines = path.read_text().splitlines()
    assert all(line_holds(line) for line in lines)
    return [json.loads(line) for line in lines]


def test_ledger_lines_that_find_no_room_are_written_later(small_root: Path) -> None:
    folder = SweepFolder(small_root, "batch")
    folder.open_session(SweepIdentity("p", "n", "e"), git_sha=None, created_by="me")
    folder.note(run_id="first")
    fill(small_root / "ballast")
    for number in range(100):  # more than what is left of the ledger's last block
        folder.note(run_id=str(number), cause="x" * 100)
    (small_root / "ballast").unlink()
    folder.note(run_id="last")
    folder.close()
    said = [line["run_id"] for line in ledger(small_root)]
    assert said == ["first", *map(str, range(100)), "last"]


def test_a_torn_last_line_of_a_killed_session_costs_no_other(results_root: Path) -> None:
    for run_id in ("one", "two"):
        folder = SweepFolder(results_root, "batch")
        folder.open_session(SweepIdentity("p", "n", "e"), git_sha=None, created_by="me")
        folder.note(run_id=run_id)
        folder.close()
        if run_id == "one":
            with (folder.path / "ledger.jsonl").open("a") as handle:
                handle.write('{"at":"2026-')
    lines = (results_root / ".sweep/batch/ledger.jsonl").read_text().splitlines()
    assert [line_holds(line) for line in lines] == [True, False, True, True]
    assert json.loads(lines[2])["event"] == "torn"


def test_a_sweep_killed_on_a_full_disk_goes_on_when_there_is_room(small_root: Path) -> None:
    configs = [{"x": x} for x in range(4)]
    child = os.fork()
    if child == 0:
        session = new_session(request_for(configs, hog, small_root, workers=1))
        with session:
            AttemptRunner(session).run_one(0, 1)
            fill(small_root / "ballast")
            AttemptRunner(session).run_one(1, 1)
            os.kill(os.getpid(), 9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -9
    (small_root / "ballast").unlink()
    summary = run_session(new_session(request_for(configs, hog, small_root, workers=1)))
    assert (summary.reused, summary.succeeded) == (1, 4)
    assert nothing_half_written(small_root)
    assert {record["status"] for record in records(small_root)} == {"succeeded"}
    assert all(line["run_id"] for line in ledger(small_root))
