"""Keras's callback in real trainings."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import keras
import pytest

from argus_tasks import Reporter
from argus_tasks.integrations.keras import ArgusCallback
from tests.argus_server import ArgusServer
from tests.support import tiny_keras
from tests.support.callbacks import batches, only_job, points, stop_pressed
from tests.support.monitor_rows import assert_reported_well, jobs_reported

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning:keras.*"
)


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script that has the small model, the callback and the seconds to train."""
    head = """
        from argus_tasks.integrations.keras import ArgusCallback
        from tests.support import tiny_keras
        model = tiny_keras.model()
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_training_is_a_batch_with_one_job(monitor: ArgusServer) -> None:
    history = tiny_keras.fit(tiny_keras.model(), ArgusCallback("dense", dataset="noise")).history
    rows = only_job(monitor)
    assert rows[0]["job_id"].startswith("dense-")
    assert rows[0]["data"] == {"model": "tiny", "dataset": "noise"}
    found = points(rows)
    assert [point["epoch"] for point in found] == [0, 1, 2]
    assert [point["train_loss"] for point in found] == history["loss"]
    for name in ("val_loss", "mae", "val_mae"):
        assert [point[name] for point in found] == history[name]
    assert [point["lr"] for point in found] == [0.05, 0.025, 0.0125]
    for point in found:
        assert 0 < point["batch_time_ms"] / 1000 * 3 < point["epoch_time_s"]
    end = rows[-1]["data"]
    assert (rows[-1]["event_type"], end["train_epochs"]) == ("job_done", 3)
    assert end["metrics"]["val_loss"] == history["val_loss"][-1]
    assert monitor.batch(batches(monitor)[0])["status"] == "done"


def test_a_resumed_training_goes_on_counting(monitor: ArgusServer) -> None:
    callback, model = ArgusCallback(), tiny_keras.model()
    tiny_keras.fit(model, callback, epochs=2)
    tiny_keras.fit(model, callback, initial_epoch=2, epochs=4)
    told = [points(only_job(monitor, batch_id)) for batch_id in batches(monitor)]
    assert [[point["epoch"] for point in found] for found in told] == [[0, 1], [2, 3]]


def test_a_rate_that_a_callback_changes_is_the_epochs_own(monitor: ArgusServer) -> None:
    model = tiny_keras.model()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, _: 0.1 / (epoch + 1))
    tiny_keras.fit(model, scheduler, ArgusCallback(), epochs=2)
    assert [point["lr"] for point in points(only_job(monitor))] == pytest.approx([0.1, 0.05])


def test_the_stop_button_ends_a_training(monitor: ArgusServer) -> None:
    callback = ArgusCallback()
    slowly = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: time.sleep(0.05))
    with stop_pressed(monitor):
        history = tiny_keras.fit(tiny_keras.model(), callback, slowly, epochs=10**9)
    assert callback.stopped
    rows = only_job(monitor)
    assert rows[-1]["event_type"] == "job_failed"
    assert rows[-1]["data"]["reason"] == "Stopped: by alice"
    assert [point["epoch"] for point in points(rows)] == history.epoch
    assert monitor.batch(batches(monitor)[0])["status"] == "failed"


class Fails(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            raise ValueError("a bad batch")


def test_an_exception_in_training_is_the_jobs_end(monitor: ArgusServer) -> None:
    with pytest.raises(ValueError, match="a bad batch"), ArgusCallback() as callback:
        tiny_keras.fit(tiny_keras.model(), callback, Fails())
    rows = only_job(monitor)
    assert [point["epoch"] for point in points(rows)] == [0, 1]
    assert rows[-1]["data"]["reason"] == "ValueError: a bad batch"
    assert "on_epoch_begin" in rows[-1]["data"]["error"]


def test_an_exception_that_ends_the_process_is_the_jobs_end(
    monitor: ArgusServer, tmp_path: Path
) -> None:
    done = run(
        """
        import keras
        class Fails(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                assert epoch < 2, "a bad batch"
        tiny_keras.fit(model, ArgusCallback(), Fails())
        """,
        tmp_path,
    )
    assert done.returncode == 1
    rows = only_job(monitor)
    assert [point["epoch"] for point in points(rows)] == [0, 1]
    assert rows[-1]["data"]["reason"] == "AssertionError: a bad batch"
    assert monitor.batch(batches(monitor)[0])["status"] == "failed"


def test_a_training_that_was_left_ends_with_its_process_or_the_next(
    monitor: ArgusServer, tmp_path: Path
) -> None:
    done = run(
        """
        for _ in range(2):
            callback = ArgusCallback()
            callback.on_train_begin()
            callback.on_epoch_end(0, {"loss": 0.5})
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    reasons = [only_job(monitor, one)[-1]["data"]["reason"] for one in batches(monitor)]
    assert reasons == [
        "Unfinished: another training has begun",
        "Unfinished: the process ended before it did",
    ]


def test_a_loop_of_ones_own(monitor: ArgusServer) -> None:
    callback = ArgusCallback("loop")
    epochs = 0
    with stop_pressed(monitor):
        callback.on_train_begin()
        while not callback.stopped:
            callback.on_epoch_begin(epochs)
            callback.on_epoch_end(epochs, {"loss": keras.ops.ones(()) / (epochs + 1), "lr": 0.1})
            epochs += 1
            time.sleep(0.05)
        callback.on_train_end()
    rows = only_job(monitor)
    assert [point["train_loss"] for point in points(rows)[:2]] == [1.0, 0.5]
    assert len(points(rows)) == epochs
    assert rows[-1]["data"]["reason"] == "Stopped: by alice"


def test_within_a_job_it_reports_there(monitor: ArgusServer) -> None:
    with Reporter("mine") as reporter, reporter.job("first"):
        tiny_keras.fit(tiny_keras.model(), ArgusCallback("not used"), epochs=1)
    (batch_id,) = batches(monitor)
    assert set(assert_reported_well(monitor, batch_id)) == {"first"}
    assert len(points(jobs_reported(monitor, batch_id)["first"])) == 1


def test_other_processes_of_a_training_are_silent(monitor: ArgusServer, tmp_path: Path) -> None:
    done = run(
        """
        import sys, torch.distributed as dist
        import torch.multiprocessing as mp

        def one(rank, port):
            store = dist.TCPStore("127.0.0.1", port, 2, rank == 0)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
            tiny_keras.fit(model, ArgusCallback())
            dist.barrier()
            dist.destroy_process_group()

        import socket
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        mp.start_processes(one, (port,), nprocs=2, start_method="fork")
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert [point["epoch"] for point in points(only_job(monitor))] == [0, 1, 2]


def test_on_another_backend(monitor: ArgusServer, tmp_path: Path) -> None:
    done = run("tiny_keras.fit(model, ArgusCallback())", tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert [point["epoch"] for point in points(only_job(monitor))] == [0, 1, 2]
