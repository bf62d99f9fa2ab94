"""Searches as people start them: told to a monitor, pruned, killed and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from argus_tasks import sweep_flow
from argus_tasks.runs.ledger.verification import verify
from tests.argus_server import ArgusServer
from tests.integration.test_stopping import wait_for
from tests.support.monitor_rows import assert_reported_well, jobs_reported, kinds
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]
KINDS = ["a", "b", "c", "d", "e", "f", "segfault", "hopeless"]


def study(root: Path) -> optuna.Study:
    (path,) = root.glob(".sweep/*/study.journal")
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name=None, storage=storage)


def argus(folder: Path, api_url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=folder,
        env={**os.environ, "PREFECT_API_URL": api_url, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def said(folder: Path, api_url: str, *words: str, code: int = 0) -> str:
    process = argus(folder, api_url, *words)
    out, _ = process.communicate(timeout=170)
    assert process.returncode == code, out
    return out


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArgusServer]:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    with ArgusServer() as server:
        monkeypatch.setenv("ARGUS_URL", server.url)
        yield server


@pytest.mark.slow
def test_a_search_is_told_trial_by_trial(served: str, monitor: ArgusServer, tmp_path: Path) -> None:
    root = tmp_path / "results"
    summary = sweep_flow(
        [{"fixed": 1}],
        "tests.support.search_experiments:mixed",
        search={
            "sampler": "grid",
            "metric": "loss",
            "direction": "min",
            "pruner": "median",
            "space": {"kind": {"choice": KINDS}},
        },
        results_root=root,
        name="told-search",
        project="p",
        workers=2,
    )
    assert (summary.total, summary.succeeded, summary.skipped, summary.failed) == (8, 6, 1, 1)
    told = {trial.params["kind"]: trial for trial in study(root).trials}
    assert {kind: trial.state.name for kind, trial in told.items()} == {
        **dict.fromkeys(KINDS[:6], "COMPLETE"),
        "segfault": "FAIL",
        "hopeless": "PRUNED",
    }
    (hopeless,) = [run for run in records(root) if run["config"]["kind"] == "hopeless"]
    assert hopeless["cause"] == "pruned"
    assert len((hopeless["dir"] / "reports.jsonl").read_text().splitlines()) < 300

    (batch_id,) = {row["batch_id"] for row in monitor.rows()}
    last = assert_reported_well(monitor, batch_id)
    starts = [jobs[0]["data"] for jobs in jobs_reported(monitor, batch_id).values()]
    assert {start["optuna"]["study_name"] for start in starts} == {study(root).study_name}
    assert sorted(start["optuna"]["trial_number"] for start in starts) == list(range(8))
    first = next(row for row in monitor.rows(batch_id) if row["event_type"] == "batch_start")
    assert first["data"]["n_total_jobs"] == 8
    (pruned,) = [row["data"] for name, row in last.items() if "hopeless" in name]
    assert pruned["status"] == "SKIPPED"
    assert pruned["reason"].startswith("pruned at step")
    assert pruned["metrics"] == {"loss": 9.0}

    api = PrefectApi(served)
    runs = api.task_runs(str(api.flow_run("told-search-")["id"]), settled=8)
    assert len(runs) == 8
    assert {run["name"] for run in runs} == set(last)
    assert verify(root).findings == []


@pytest.mark.slow
def test_a_killed_search_goes_on_with_each_trial_once(api_url: str, tmp_path: Path) -> None:
    marks, root = tmp_path / "marks", tmp_path / "results"
    marks.mkdir()
    sweep: dict[str, Any] = {
        "name": "killed-search",
        "project": "p",
        "experiment": "tests.support.search_experiments:bowl",
        "results_root": "results",
        "base": {"marks": str(marks), "seconds": 0.2},
        "search": {
            "n_trials": 12,
            "metric": "loss",
            "direction": "min",
            "space": {"x": {"uniform": [-3, 3]}, "depth": {"int": [1, 6]}},
        },
        "execution": {"workers": 2},
    }
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps(sweep))
    process = argus(tmp_path, api_url, "run", str(file))
    wait_for(lambda: len(list(marks.iterdir())) >= 5)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    asked = {trial.number: trial.params for trial in study(root).trials}
    assert verify(root).findings == []

    assert "12 of 12 succeeded" in said(tmp_path, api_url, "run", str(file))
    trials = study(root).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
    assert {number: trials[number].params for number in asked} == asked
    assert len(records(root)) == 12  # what was cut off was taken up in its folder
    numbers = [
        json.loads((run["dir"] / "meta.json").read_text())["extras"]["optuna"]["trial_number"]
        for run in records(root)
    ]
    assert sorted(numbers) == list(range(12))
    assert "all is whole" in said(tmp_path, api_url, "verify", "results", "--prefect")


@pytest.mark.slow
def test_the_example_runs_by_its_command_and_is_told(
    api_url: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    leave = shutil.ignore_patterns("results", "__pycache__")
    shutil.copytree(ROOT / "examples" / "search", tmp_path / "examples" / "search", ignore=leave)
    out = said(tmp_path, api_url, "run", "examples/search/sweep.yaml")
    assert "of 30 succeeded" in out
    assert "best accuracy 0.9" in out
    states = {trial.state.name for trial in study(tmp_path / "examples/search/results").trials}
    assert states == {"COMPLETE", "PRUNED"}
    (batch_id,) = {row["batch_id"] for row in monitor.rows()}
    assert_reported_well(monitor, batch_id)
    jobs = jobs_reported(monitor, batch_id).values()
    numbers = [job[0]["data"]["optuna"]["trial_number"] for job in jobs]
    assert sorted(numbers) == list(range(30))
    assert all("job_epoch" in kinds(job) for job in jobs)
