"""A sweep's process is killed: the next start and `status --repair` put everything right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.test_stopping import ROOT, marks, start, wait_for
from tests.support.prefect_api import PrefectApi, login
from tests.support.sessions import records


def argus(api_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": api_url},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def killed(tmp_path: Path, api_url: str, name: str) -> dict[str, object]:
    """A sweep killed in the middle; its flow run as the server then has it."""
    sweep = start(tmp_path, api_url, mode="process_pool", name=name)
    wait_for(lambda: marks(tmp_path) == 2)
    api = PrefectApi(api_url)
    flow_run = api.flow_run(f"{name}-")
    mine = {"flow_run_id": {"any_": [flow_run["id"]]}, "state": {"type": {"any_": ["RUNNING"]}}}
    # The third waits for a worker: it is in the window, one ahead.
    wait_for(lambda: api.post("/task_runs/count", {"task_runs": mine}) == 3)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    assert api.flow_run(f"{name}-")["state_type"] == "RUNNING"
    return flow_run


def test_status_repair_closes_what_was_left_running(api_url: str, tmp_path: Path) -> None:
    flow_run = killed(tmp_path, api_url, "killed-repaired")
    root = str(tmp_path / "results")
    told = argus(api_url, "status", "--results-root", root)
    assert told.returncode == 0, told.stderr
    assert "6 configs: 2 running, 4 not started" in told.stdout
    assert "its process is gone; the same command continues the sweep" in told.stdout
    repaired = argus(api_url, "status", "--results-root", root, "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "3 task runs" in repaired.stdout
    api = PrefectApi(api_url)
    assert api.flow_run("killed-repaired-")["state_type"] == "CRASHED"
    task_runs = api.task_runs(str(flow_run["id"]), settled=3)
    assert {run["state_type"] for run in task_runs} == {"CRASHED"}
    again = argus(api_url, "status", "--results-root", root, "--repair")
    assert "nothing to repair" in again.stdout


def test_the_next_start_takes_up_what_was_cut_and_repairs(api_url: str, tmp_path: Path) -> None:
    flow_run = killed(tmp_path, api_url, "killed-resumed")
    cut = {record["run_id"] for record in records(tmp_path / "results")}
    sweep = start(tmp_path, api_url, mode="process_pool", name="killed-resumed")
    wait_for(lambda: marks(tmp_path) == 4)
    sweep.send_signal(signal.SIGINT)
    sweep.communicate(timeout=90)
    found = records(tmp_path / "results")
    assert len({record["config"]["x"] for record in found}) == len(found), "one folder a config"
    taken_up = [record for record in found if record["attempt"] == 2]
    assert taken_up
    assert {record["run_id"] for record in taken_up} <= cut
    events = [
        json.loads(line) for line in (taken_up[0]["dir"] / "events.jsonl").read_text().splitlines()
    ]
    assert "ParentLost" in {event.get("error_type") for event in events}
    api = PrefectApi(api_url)
    states = {run["state_type"] for run in api.task_runs(str(flow_run["id"]), settled=3)}
    assert states == {"CRASHED"}
    left = {
        "flow_runs": {"id": {"any_": [flow_run["id"]]}, "state": {"type": {"any_": ["RUNNING"]}}}
    }
    assert api.post("/flow_runs/count", left) == 0


def test_runs_that_end_as_their_sweep_dies_are_known_to_prefect(
    api_url: str, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    sweep = start(tmp_path, api_url, mode="process_pool", name="killed-ended", seconds=1)
    wait_for(lambda: marks(tmp_path) == 2)
    os.kill(sweep.pid, signal.SIGSTOP)  # before its relay has sent a word of the two
    try:
        wait_for(lambda: [run["status"] for run in records(root)] == ["succeeded"] * 2)
    finally:
        sweep.kill()
        sweep.communicate()
    api = PrefectApi(api_url)
    dead = str(api.flow_run("killed-ended-")["id"])

    def shown() -> list[str]:
        body = {"flow_runs": {"id": {"any_": [dead]}}}
        return [run["state_name"] for run in api.post("/task_runs/filter", body)]

    # nobody has started it again: its ledger has no ends, its folders have
    assert argus(api_url, "status", "--results-root", str(root), "--repair").returncode == 0
    assert shown() == ["Completed"] * 2
    again = start(tmp_path, api_url, mode="process_pool", name="killed-ended", seconds=1)
    _, err = again.communicate(timeout=90)
    assert again.returncode == 0, err
    assert shown() == ["Completed"] * 2

    # a ledger as any earlier version has left it: the ends are the next session's, and nameless
    (path,) = root.glob(".sweep/*/ledger.jsonl")
    facts = [json.loads(line) for line in path.read_text().splitlines()]
    first = facts[0]["session"]
    begun = {fact["run_id"] for fact in facts if fact["session"] == first}
    late = [fact for fact in facts if fact["run_id"] in begun and fact["session"] != first]
    assert [(fact["event"], fact.get("job_id")) for fact in late] == [("ended", None)] * 2
    for run in api.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [dead]}}}):
        httpx.delete(f"{api_url}/task_runs/{run['id']}", auth=login()).raise_for_status()
    verified = argus(api_url, "verify", str(root), "--prefect")
    assert verified.stdout.count("is missing; the ledger says Completed") == 2
    assert argus(api_url, "status", "--results-root", str(root), "--repair").returncode == 0
    assert shown() == ["Completed"] * 2
    verified = argus(api_url, "verify", str(root), "--prefect")
    assert "all is whole" in verified.stdout


@pytest.mark.slow
def test_two_starts_at_once_share_one_embedded_server(tmp_path: Path) -> None:
    sweeps = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        sweeps.append(
            start(folder, None, mode="process_pool", name=f"shared-{number}", seconds=0.5)
        )
    for sweep in sweeps:
        out, err = sweep.communicate(timeout=120)
        assert sweep.returncode == 0, err
        assert "6 of 6 succeeded" in out
        assert "unknown to Prefect" not in out
        urls = {word for word in out.split() if word.startswith("http://127.0.0.1")}
        assert len(urls) == 1
    sessions = [
        json.loads(path.read_text()) for path in tmp_path.glob("*/results/.sweep/*/sweep.json")
    ]
    assert [entry["sessions"][0]["flow_run"]["mirrored"] for entry in sessions] == [True, True]
