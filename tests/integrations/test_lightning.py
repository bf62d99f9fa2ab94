"""Lightning's callback in real trainings, both packages."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from argus_tasks import Reporter
from argus_tasks.integrations.lightning import ArgusCallback
from tests.argus_server import ArgusServer
from tests.support import lit
from tests.support.callbacks import batches, only_job, points, stop_pressed
from tests.support.monitor_rows import assert_reported_well, jobs_reported

PACKAGES = ("lightning.pytorch", "pytorch_lightning")
ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*does not have many workers", "ignore:.*isinstance\\(treesp"
    ),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty", "ignore:.*litlogger"),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_training_is_a_batch_with_one_job(
    package: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    model = lit.module(package)
    callback = ArgusCallback("tiny", dataset="noise")
    trainer = lit.trainer(package, tmp_path, callback, max_epochs=4, check_val_every_n_epoch=2)
    trainer.fit(model, lit.loader(), lit.loader())

    rows = only_job(monitor)
    assert rows[0]["job_id"].startswith("tiny-")
    assert rows[0]["data"] == {"model": "Tiny", "dataset": "noise"}
    found = points(rows)
    assert [point["epoch"] for point in found] == [0, 1, 2, 3], "none of the sanity check"
    assert [point["lr"] for point in found] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    means = [sum(losses) / lit.BATCHES for losses in model.losses]
    assert [point["train_loss"] for point in found] == pytest.approx(means)
    assert [point["norm"] for point in found] == pytest.approx(means)
    assert ["val_loss" in point for point in found] == [False, True, False, True]
    assert [point.get("val_acc") for point in found] == [None, 1.0, None, 3.0]
    assert [point["of_epoch"] for point in found] == [0.0, 1.0, 2.0, 3.0]
    for point in found:
        assert 0 < point["batch_time_ms"] / 1000 * lit.BATCHES < point["epoch_time_s"]
        assert not {"train_loss_step", "norm_step", "norm_epoch"} & set(point)

    end = rows[-1]["data"]
    assert (rows[-1]["event_type"], end["train_epochs"]) == ("job_done", 4)
    assert Path(end["metrics"]["best_checkpoint"]).exists()
    assert end["metrics"]["val_acc"] == 3.0
    assert monitor.batch(batches(monitor)[0])["status"] == "done"


def test_accumulated_and_manual_losses_are_the_batches_own(
    monitor: ArgusServer, tmp_path: Path
) -> None:
    package = PACKAGES[0]
    accumulates = lit.module(package)
    lit.trainer(package, tmp_path, ArgusCallback(), max_epochs=1, accumulate_grad_batches=2).fit(
        accumulates, lit.loader(), lit.loader()
    )
    manual = lit.module(package)
    manual.automatic_optimization = False
    lit.trainer(package, tmp_path, ArgusCallback(), max_epochs=1).fit(
        manual, lit.loader(), lit.loader()
    )
    for batch_id, model in zip(batches(monitor), (accumulates, manual), strict=True):
        (point,) = points(only_job(monitor, batch_id))
        assert point["train_loss"] == pytest.approx(sum(model.losses[0]) / lit.BATCHES)


def test_a_resumed_training_goes_on_counting(monitor: ArgusServer, tmp_path: Path) -> None:
    package = PACKAGES[0]
    first = lit.trainer(package, tmp_path, ArgusCallback(), max_epochs=2)
    first.fit(lit.module(package), lit.loader(), lit.loader())
    checkpoint = first.checkpoint_callback.best_model_path
    again = lit.trainer(package, tmp_path, ArgusCallback(), max_epochs=4)
    again.fit(lit.module(package), lit.loader(), lit.loader(), ckpt_path=checkpoint)
    told = [points(only_job(monitor, batch_id)) for batch_id in batches(monitor)]
    assert [[point["epoch"] for point in found] for found in told] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_stop_button_ends_a_training(
    package: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    callback = ArgusCallback()
    trainer = lit.trainer(package, tmp_path, callback, max_epochs=-1, min_epochs=10**9)
    with stop_pressed(monitor):
        trainer.fit(lit.module(package), lit.loader(), lit.loader())
    assert callback.stopped
    assert trainer.state.finished
    rows = only_job(monitor)
    assert rows[-1]["event_type"] == "job_failed"
    assert rows[-1]["data"]["reason"] == "Stopped: by alice"
    assert len(points(rows)) == rows[-1]["data"]["train_epochs"] >= 2
    batch = monitor.batch(batches(monitor)[0])
    assert (batch["status"], batch["end"]["reason"]) == ("failed", "Stopped: by alice")


def test_an_exception_in_training_is_the_jobs_end(monitor: ArgusServer, tmp_path: Path) -> None:
    package = PACKAGES[0]
    trainer = lit.trainer(package, tmp_path, ArgusCallback())
    with pytest.raises(ValueError, match="a bad batch"):
        trainer.fit(lit.module(package, fails_at=2), lit.loader(), lit.loader())
    rows = only_job(monitor)
    assert [point["epoch"] for point in points(rows)] == [0, 1]
    assert rows[-1]["event_type"] == "job_failed"
    assert rows[-1]["data"]["reason"] == "ValueError: a bad batch"
    assert "training_step" in rows[-1]["data"]["error"]


def test_within_a_job_or_a_batch_it_reports_there(monitor: ArgusServer, tmp_path: Path) -> None:
    package = PACKAGES[0]

    def fit(callback: ArgusCallback) -> None:
        trainer = lit.trainer(package, tmp_path, callback, max_epochs=1)
        trainer.fit(lit.module(package), lit.loader(), lit.loader())

    with Reporter("mine", n_total=3) as reporter:
        with reporter.job("first"):
            fit(ArgusCallback("not used"))
        fit(ArgusCallback("second"))
        with reporter.job("third") as job, reporter.job("fourth"):
            fit(ArgusCallback(job=job))
    (batch_id,) = batches(monitor)
    assert set(assert_reported_well(monitor, batch_id)) == {"first", "second", "third", "fourth"}
    told = jobs_reported(monitor, batch_id)
    assert {name: len(points(told[name])) for name in told} == {
        "first": 1,
        "second": 1,
        "third": 1,
        "fourth": 0,
    }
    for name in ("first", "second", "third"):
        assert told[name][-1]["data"]["metrics"]["train_loss"] > 0


def test_a_callback_that_cannot_report_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ARGUS_TASKS_RAISE", raising=False)
    monkeypatch.setenv("ARGUS_URL", "no url at all")
    trainer = lit.trainer(PACKAGES[0], tmp_path, ArgusCallback(), max_epochs=2)
    trainer.fit(lit.module(PACKAGES[0]), lit.loader(), lit.loader())
    assert trainer.current_epoch == 2


def test_only_the_first_of_two_processes_reports_and_both_stop(
    monitor: ArgusServer, tmp_path: Path
) -> None:
    with stop_pressed(monitor):
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.lit", str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = only_job(monitor)
    numbers = [point["epoch"] for point in points(rows)]
    assert numbers == list(range(len(numbers))), "each epoch once"
    assert rows[-1]["data"]["reason"] == "Stopped: by alice"


def test_the_class_is_found_again_in_other_processes() -> None:
    copy = pickle.loads(pickle.dumps(ArgusCallback("tiny", model="mlp")))
    assert isinstance(copy, ArgusCallback)
    assert (copy._job_id, copy._model) == ("tiny", "mlp")
