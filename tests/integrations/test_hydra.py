"""Hydra's callback in real apps: runs and multiruns, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.argus_server import ArgusServer
from tests.support.callbacks import batches, only_job, points, stop_pressed
from tests.support.delivery import assert_accounts_meet
from tests.support.monitor_rows import assert_reported_well, jobs_reported, kinds

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests" / "support" / "hydra_app" / "app.py"


def app(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(APP), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_is_a_batch_with_one_job(monitor: ArgusServer, tmp_path: Path) -> None:
    done = app(tmp_path, "lr=0.5", "model.width=4")
    assert done.returncode == 0, done.stderr
    rows = only_job(monitor)
    assert rows[0]["job_id"].startswith("lr=0.5-model.width=4-")
    start = rows[0]["data"]
    assert (start["model"], start["dataset"]) == ("mlp", "nile")
    assert start["overrides"] == ["lr=0.5", "model.width=4"]
    assert Path(start["run_dir"], ".hydra", "config.yaml").exists()
    assert [point["train_loss"] for point in points(rows)] == [0.5, 0.25, 0.5 / 3]
    assert rows[-1]["event_type"] == "job_done"
    assert rows[-1]["data"]["metrics"] == {"objective": 1.0}
    batch = monitor.batch(batches(monitor)[0])
    assert (batch["status"], batch["start"]["n_total_jobs"]) == ("done", 1)


def test_a_multirun_is_a_batch_with_a_job_a_trial(monitor: ArgusServer, tmp_path: Path) -> None:
    done = app(tmp_path, "-m", "lr=0.5,1.5,0.1", "model.width=4,8", "end=fails")
    assert done.returncode == 1
    (batch_id,) = batches(monitor)
    last = assert_reported_well(monitor, batch_id)
    expected = {
        f"{number}-end=fails-lr={lr}-model.width={width}": lr
        for number, (lr, width) in enumerate(
            (lr, width) for lr in ("0.5", "1.5", "0.1") for width in (4, 8)
        )
    }
    assert set(last) == set(expected)
    for name, lr in expected.items():
        failed = float(lr) > 1
        assert last[name]["event_type"] == ("job_failed" if failed else "job_done")
        assert len(points(jobs_reported(monitor, batch_id)[name])) == 3
        if failed:
            assert last[name]["data"]["reason"] == "ValueError: too fast"
            assert "in main" in last[name]["data"]["error"]
    batch = monitor.batch(batch_id)
    assert batch["start"]["n_total_jobs"] == len(expected)
    assert batch["status"] == "failed"
    assert (batch["end"]["n_done"], batch["end"]["n_failed"]) == (4, 2)
    assert batch["end"]["reason"].count("ValueError: too fast") == 2


def test_a_launcher_of_processes_reports_to_the_same_batch(
    monitor: ArgusServer, tmp_path: Path
) -> None:
    done = app(
        tmp_path, "-m", "lr=0.1,0.2,0.3,0.4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    assert done.returncode == 0, done.stderr
    (batch_id,) = batches(monitor)
    last = assert_reported_well(monitor, batch_id)
    assert [name[0] for name in sorted(last)] == ["0", "1", "2", "3"]
    assert kinds(list(last.values())) == ["job_done"] * 4
    assert all(len(points(rows)) == 3 for rows in jobs_reported(monitor, batch_id).values())
    batch = monitor.batch(batch_id)
    assert (batch["status"], batch["end"]["n_done"]) == ("done", 4)
    assert kinds(monitor.rows(batch_id)).count("batch_start") == 1
    assert_accounts_meet(tmp_path / "outbox")


def test_the_stop_button_ends_a_multirun(monitor: ArgusServer, tmp_path: Path) -> None:
    with stop_pressed(monitor):
        done = app(tmp_path, "-m", "lr=range(0,60)", "pause_s=0.2")
    assert done.returncode == 130, done.stderr
    (batch_id,) = batches(monitor)
    last = assert_reported_well(monitor, batch_id)
    assert 1 <= len(last) < 60
    assert set(kinds(list(last.values()))) == {"job_done"}
    assert monitor.batch(batch_id)["end"]["reason"] == "Stopped: by alice"


def test_what_interrupts_an_app_is_its_jobs_end(monitor: ArgusServer, tmp_path: Path) -> None:
    done = app(tmp_path, "end=interrupted")
    assert done.returncode != 0
    rows = only_job(monitor)
    assert rows[-1]["data"]["reason"].startswith("KeyboardInterrupt")
    assert monitor.batch(batches(monitor)[0])["status"] == "failed"


def test_without_a_monitor_nothing_changes(tmp_path: Path) -> None:
    done = app(tmp_path, "-m", "lr=0.1,0.2")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*.seg"))
