"""Scripts and Hydra apps from end to end: the documented commands, and what a monitor is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import sweep_flow
from tests.argus_server import ArgusServer
from tests.support.monitor_rows import assert_reported_well, jobs_reported, kinds
from tests.support.sessions import records

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArgusServer]:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    with ArgusServer() as server:
        monkeypatch.setenv("ARGUS_URL", server.url)
        yield server


def only_batch(server: ArgusServer) -> str:
    (batch_id,) = {row["batch_id"] for row in server.rows()}
    return str(batch_id)


@pytest.mark.parametrize("name", ["script", "hydra_app"])
def test_an_example_runs_by_its_documented_command(
    name: str, served: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    words = f"argus-tasks run examples/{name}/sweep.yaml"
    assert f"\n{words}\n" in (EXAMPLES / name / "README.md").read_text()
    leave = shutil.ignore_patterns("results", "__pycache__")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=leave)
    done = subprocess.run(
        [sys.executable, "-m", *words.replace("argus-tasks", "argus_tasks").split()],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_API_URL": served},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 succeeded" in done.stdout
    last = assert_reported_well(monitor, only_batch(monitor))
    assert len(last) == 12
    row = last["momentum-lr0.1-s1"]
    assert row["event_type"] == "job_done"
    assert set(row["data"]["metrics"]) >= {"mse", "error_a"}
    curves = [
        row
        for row in jobs_reported(monitor, only_batch(monitor))["momentum-lr0.1-s1"]
        if row["event_type"] == "job_epoch"
    ]
    assert len(curves) == (20 if name == "script" else 0)


REPORTS = """
import os, sys
from argus_tasks import Reporter

with Reporter("mine", n_total=1) as r, r.job("job", model="m") as j:
    for epoch in range(3):
        j.epoch(epoch, train_loss=1 / (epoch + 1))
    j.log("from the script")
    j.metrics({"acc": 0.5})
if sys.argv[1] == "bad":
    sys.exit(3)
print("METRIC loss=0.25")
print("METRIC val_loss=0.5 step=7")
"""


@pytest.mark.parametrize("mode", ["process_pool", "sequential", "dask"])
def test_a_scripts_reporter_joins_its_run(
    mode: Any, served: str, monitor: ArgusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job.py").write_text(REPORTS)
    monkeypatch.chdir(tmp_path)
    summary = sweep_flow(
        [{"model": kind} for kind in ("good", "bad")],
        "command:python job.py {model}",
        results_root=tmp_path / "results",
        project="p",
        name="reports",
        mode=mode,
        workers=2,
    )
    assert (summary.succeeded, summary.failed) == (1, 1)
    batch_id = only_batch(monitor)
    last = assert_reported_well(monitor, batch_id)
    good, bad = last["good"], last["bad"]
    assert good["event_type"] == "job_done"
    assert good["data"]["metrics"] == {"acc": 0.5, "loss": 0.25, "val_loss": 0.5}
    assert bad["event_type"] == "job_failed"
    assert bad["data"]["reason"].startswith("exit 3")
    jobs = jobs_reported(monitor, batch_id)
    # The script's lines and the worker's come by two ways: their order among each other is open.
    told = kinds(jobs["good"])
    assert sorted(told) == sorted(["job_start", *["job_epoch"] * 4, "log_line", "job_done"])
    epochs = [row["data"]["epoch"] for row in jobs["good"] if row["event_type"] == "job_epoch"]
    assert sorted(epochs) == [0, 1, 2, 7]
    assert good["data"]["train_epochs"] == 4
    assert good["data"]["resources"]["cpu_s"] > 0
    found = {record["config"]["model"]: record for record in records(tmp_path / "results")}
    assert found["bad"]["cause"] == "exit 3"
