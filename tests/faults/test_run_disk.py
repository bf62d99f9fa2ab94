"""A full disk: a small file system of its own under the results root."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.runs.ledger import SweepFolder, SweepIdentity, line_holds
from argus_tasks.sweep.plan import Action, make_plan
from argus_tasks.sweep.session import SweepSession
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


@pytest.mark.parametrize("fresh", [False, True])
def test_runs_that_find_no_room_say_so_and_the_others_go_on(
    small_root: Path, fresh: bool, caplog: pytest.LogCaptureFixture
) -> None:
    configs = [{"x": 0}, {"x": 1, "hog": True}, {"x": 2}, {"x": 3}, {"x": 4}]
    session = SweepSession(request_for(configs, hog, small_root, workers=1, fresh_process=fresh))
    with session:
        causes = [session.run_one(index, 1).ending.cause for index in range(2)]
        fill(small_root / "ballast")  # what the hog's own failed words have given back
        causes.append(session.run_one(2, 1).ending.cause)
        for taken in (small_root / "ballast", *small_root.glob("*/artifacts/all")):
            taken.unlink()
        causes += [session.run_one(index, 1).ending.cause for index in (3, 4)]
    assert causes == [None, "disk full", "disk full", None, None]
    assert "cannot be" in caplog.text

    found = {record["config"]["x"]: record for record in records(small_root)}
    assert [(found[x]["status"], found[x]["cause"]) for x in range(5)] == [
        ("succeeded", None),
        ("failed", "disk full"),
        ("failed", "disk full"),
        ("succeeded", None),
        ("succeeded", None),
    ]
    assert nothing_half_written(small_root)
    ends = [line["cause"] for line in ledger(small_root) if line["event"] == "ended"]
    assert ends == causes

    plan = make_plan(request_for(configs, hog, small_root))
    assert (plan.count(Action.REUSE), plan.count(Action.RUN)) == (3, 2)


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
        session = SweepSession(request_for(configs, hog, small_root, workers=1))
        with session:
            session.run_one(0, 1)
            fill(small_root / "ballast")
            session.run_one(1, 1)
            os.kill(os.getpid(), 9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -9
    (small_root / "ballast").unlink()
    summary = run_session(SweepSession(request_for(configs, hog, small_root, workers=1)))
    assert (summary.reused, summary.succeeded) == (1, 4)
    assert nothing_half_written(small_root)
    assert {record["status"] for record in records(small_root)} == {"succeeded"}
    assert all(line["run_id"] for line in ledger(small_root))
