"""Trainings with callbacks as experiments of a sweep: they report for their runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import SweepStopped, sweep_flow
from tests.argus_server import ArgusServer
from tests.support.callbacks import batches, points, stop_pressed
from tests.support.monitor_rows import assert_reported_well, jobs_reported

EXPERIMENT = "tests.support.trainings:experiment"
WELL = ("lightning.pytorch", "pytorch_lightning", "keras", "hydra")


def curve_of(run_dir: Path) -> list[float]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["metrics"]["train_loss"] for line in lines]


def test_they_report_for_their_runs(served: str, monitor: ArgusServer, tmp_path: Path) -> None:
    configs: list[dict[str, Any]] = [{"framework": name} for name in WELL]
    summary = sweep_flow(
        [*configs, {"framework": WELL[0], "fails_at": 1}],
        EXPERIMENT,
        results_root=tmp_path / "results",
        name="callbacks",
        project="p",
        workers=2,
    )
    assert (summary.succeeded, summary.failed) == (len(WELL), 1)
    (batch_id,) = batches(monitor)
    last = assert_reported_well(monitor, batch_id)
    told = jobs_reported(monitor, batch_id)
    assert len(told) == len(configs) + 1
    for name, rows in told.items():
        run_dir = Path(rows[0]["data"]["run_dir"])
        framework = json.loads((run_dir / "config.json").read_text())["framework"]
        end = last[name]
        if "fails_at" in name:
            assert end["data"]["reason"] == "ValueError: a bad batch"
            assert [point["epoch"] for point in points(rows)] == [0]
            continue
        assert end["event_type"] == "job_done"
        assert end["data"]["metrics"]["epochs"] == 3
        assert [point["epoch"] for point in points(rows)] == [0, 1, 2]
        if framework == "hydra":  # a script: its own process tells the monitor
            assert end["data"]["metrics"]["objective"] == 1.0
        else:
            assert curve_of(run_dir) == [point["train_loss"] for point in points(rows)]
            assert end["data"]["metrics"]["train_loss"] == curve_of(run_dir)[-1]
        if "lightning" in framework:
            assert Path(end["data"]["metrics"]["best_checkpoint"]).is_relative_to(run_dir)


def test_a_stop_of_the_sweep_ends_the_trainings_themselves(
    served: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    endless = [{"framework": name, "endless": True} for name in (WELL[0], "keras")]
    with stop_pressed(monitor, jobs=2), pytest.raises(SweepStopped):
        sweep_flow(
            endless,
            EXPERIMENT,
            results_root=tmp_path / "results",
            name="endless",
            project="p",
            workers=2,
            stop_grace_s=60,
        )
    (batch_id,) = batches(monitor)
    assert_reported_well(monitor, batch_id)
    for rows in jobs_reported(monitor, batch_id).values():
        run_dir = Path(rows[0]["data"]["run_dir"])
        run = json.loads((run_dir / "run.json").read_text())
        assert (run["error_type"], run["resumable"]) == ("Stopped", True)
        result = json.loads((run_dir / "metrics.json").read_text())
        assert result["stopped"] is True, "the training itself has come to its end"
