"""Whatever ends a worker, and whatever ends the sweep: nothing that they started is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.runs.ledger.sweep_folder import line_holds
from argus_tasks.session.sweep_session import new_session
from tests.faults import zoo
from tests.support.processes import processes_with, wait_gone
from tests.support.sessions import records, request_for, run_session
from tests.support.waiting import wait_for

GONE_S = 30.0  # how long it takes on a quiet machine, `benchmarks.stopping` measures
HOW: dict[str, dict[str, Any]] = {"warm": {}, "fresh": {"fresh_process": True}}
# The sweep, as a process of its own; it also leaves a child that holds all it has open.
SCRIPT = """
import os, sys, time
from pathlib import Path
from tests.faults import zoo
from tests.support.sessions import request_for, run_session
from argus_tasks.session.sweep_session import new_session
configs = [{"fault": "marked_nap", "marks": sys.argv[1], "x": x} for x in range(2)]
fresh = sys.argv[3] == "fresh"
session = new_session(request_for(configs, zoo.act, Path(sys.argv[2]), fresh_process=fresh))
session.warm()
session.check()
if os.fork() == 0:
    time.sleep(120)
    os._exit(0)
run_session(session)
"""


def napping(marks: Path, count: int = 2) -> bool:
    return len([each for each in marks.iterdir() if each.read_text()]) == count


@pytest.mark.parametrize("how", HOW)
def test_a_killed_sweep_leaves_nothing_and_its_runs_go_on_at_the_next_start(
    how: str, results_root: Path, tmp_path: Path, mark: str, nap: str
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    name, _, value = mark.partition("=")
    sweep = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(marks), str(results_root), how],
        env={**os.environ, name: value},
    )
    try:
        wait_for(lambda: napping(marks))
        holder = {
            pid
            for pid, command in processes_with(mark).items()
            if _parent(pid) == sweep.pid and not ("keeper" in command or "snapshot" in command)
        }
        assert len(holder) == 1
        naps = [command for command in processes_with(nap).values() if command[:5] == "sleep"]
        assert len(naps) == 8
    finally:
        sweep.kill()
        sweep.wait()
    wait_for(lambda: set(processes_with(mark, nap)) <= holder, GONE_S)
    for pid in processes_with(mark):  # the child of the sweep itself is nobody's worker
        os.kill(pid, signal.SIGKILL)

    cut = records(results_root)
    assert [record["status"] for record in cut] == ["running", "running"]
    assert {record["owner"]["pid"] for record in cut} == {sweep.pid}
    configs = [{"fault": "marked_nap", "marks": str(marks), "x": x} for x in range(2)]
    summary = run_session(new_session(request_for(configs, zoo.act, results_root)))
    assert summary.succeeded == 2
    assert [record["attempt"] for record in records(results_root)] == [2, 2]
    lines = ledger_lines(results_root)
    for record in cut:
        said = [
            (line["event"], line["attempt"], line["cause"])
            for line in lines
            if line["run_id"] == record["run_id"]
        ]
        assert said == [
            ("started", 1, None),
            ("ended", 1, "parent lost"),
            ("started", 2, None),
            ("ended", 2, None),
        ]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def ledger_lines(results_root: Path) -> list[dict[str, Any]]:
    (ledger,) = results_root.glob(".sweep/*/ledger.jsonl")
    lines = ledger.read_text().splitlines()
    assert all(line_holds(line) for line in lines)
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("how", HOW)
def test_a_stop_leaves_nothing(
    how: str, results_root: Path, tmp_path: Path, mark: str, nap: str
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    name, _, value = mark.partition("=")
    configs = [{"fault": "marked_nap", "marks": str(marks), "x": x} for x in range(2)]
    session = new_session(request_for(configs, zoo.act, results_root, **HOW[how]), {name: value})

    def stop() -> None:
        wait_for(lambda: napping(marks))
        session.stops.stop("user")
        session.end_workers(now=False)

    stopper = threading.Thread(target=stop)
    stopper.start()
    summary = run_session(session)
    stopper.join()
    wait_gone(nap, mark, seconds=GONE_S)
    assert summary.stopped == 2
    assert {record["cause"] for record in records(results_root)} == {"stopped by user"}


def test_a_killed_keeper_costs_what_was_running_and_no_more(
    results_root: Path, tmp_path: Path, mark: str, nap: str
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    name, _, value = mark.partition("=")
    configs: list[dict[str, Any]] = [
        {"fault": "marked_nap", "marks": str(marks), "x": x} for x in range(2)
    ]
    configs += [{"fault": "fine", "x": x} for x in range(8)]
    session = new_session(request_for(configs, zoo.act, results_root), {name: value})

    def kill() -> None:
        wait_for(lambda: napping(marks))
        os.kill(int((marks / "0-1").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = run_session(session)
    killer.join()
    assert (summary.succeeded, summary.failed) == (8, 2)
    lost = [r for r in records(results_root) if r["config"]["fault"] == "marked_nap"]
    assert {record["cause"] for record in lost} == {"signal SIGKILL"}
    assert all("keeper of the workers" in record["error_message"] for record in lost)
    # `env -i` hides a process from the mark that a lost keeper leaves; nothing else does.
    for pid in processes_with(nap):
        assert not Path(f"/proc/{pid}/environ").read_bytes()
        os.kill(pid, signal.SIGKILL)


def test_a_live_owners_run_is_not_closed(results_root: Path, tmp_path: Path) -> None:
    from argus_tasks.base.processes import this_process
    from argus_tasks.runs.record.close_abandoned import close_lost_run

    folder = tmp_path / "run"
    folder.mkdir()
    record = {"run_id": "run", "status": "running", "attempt": 1, "owner": this_process()}
    for owner, closed in (
        (this_process(), False),
        ({**this_process(), "host": "another"}, False),
        ({**this_process(), "pid_started": "1"}, True),
        ({**this_process(), "boot_id": "another"}, True),
        ({}, True),
    ):
        (folder / "run.json").write_text(json.dumps({**record, "owner": owner}))
        assert (close_lost_run(str(folder)) is not None) is closed, owner
        after = json.loads((folder / "run.json").read_text())
        assert (after["status"], after.get("cause"), after.get("resumable")) == (
            ("failed", "parent lost", True) if closed else ("running", None, None)
        )
