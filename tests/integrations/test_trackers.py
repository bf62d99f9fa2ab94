"""mlflow and wandb as trackers of real sweeps: what these tools then have."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.argus_server import ArgusServer
from tests.support.callbacks import batches
from tests.support.monitor_rows import assert_reported_well
from tests.support.sessions import records, request_for, run_configs, run_session

EXAMPLE = Path(__file__).parents[2] / "examples" / "trackers"


def train(ctx: Any) -> dict[str, Any] | None:
    kind = ctx.config["kind"]
    for epoch in range(3):
        ctx.log_metric(epoch, {"loss": 1.0 / (epoch + 1)})
        ctx.log_metric(epoch, {"loss": 2.0 / (epoch + 1), "name": "x"}, split="valid")
    if kind == "fail":
        raise ValueError("no")
    if kind == "killed" and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"acc": 0.5, "nested": {"f1": 0.25}, "text": "x"}


# In the caller's own process nobody survives a kill.
KINDS = {"process_pool": ("well", "fail", "killed"), "sequential": ("well", "fail")}
METADATA = RunMetadata(experiment_name="exp", group="g", tags={"k": "v"})


def sweep(spec: dict[str, Any], root: Path, mode: Any) -> dict[str, dict[str, Any]]:
    """The records by kind."""
    run_configs(
        [{"kind": kind, "optim": {"lr": 0.1}, "layers": [1, 2]} for kind in KINDS[mode]],
        train,
        root,
        tracker_specs=[spec],
        metadata=METADATA,
        max_attempts=2,
        retry_on=["signal SIGKILL"],
        mode=mode,
        workers=2 if mode == "process_pool" else 1,
    )
    found = {record["config"]["kind"]: record for record in records(root)}
    for record in found.values():
        log = (record["dir"] / "run.log").read_text()
        assert "Tracker" not in log, log
        assert "not called again" not in log, log
        assert "failed: " not in log or record["config"]["kind"] == "fail", log
    return found


@pytest.mark.parametrize("mode", ["process_pool", "sequential"])
@pytest.mark.parametrize("store", ["sqlite", "folder"])
def test_mlflow(mode: Any, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"sqlite:///{tmp_path}/mlflow.db" if store == "sqlite" else f"file://{tmp_path}/mlruns"
    found = sweep({"type": "mlflow", "kwargs": {"tracking_uri": uri}}, tmp_path / "r", mode)

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("exp")
    assert experiment is not None
    runs = {run.data.params["kind"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == set(found), "one each, whoever executed its attempts"
    for kind, run in runs.items():
        record = found[kind]
        assert run.data.tags["argus.run_id"] == record["run_id"]
        assert run.data.tags["k"] == "v"
        assert run.data.tags["argus.group"] == "g"
        assert run.info.run_name == record["job_id"]
        assert run.data.params == {"kind": kind, "optim.lr": "0.1", "layers": "[1,2]"}
        history = client.get_metric_history(run.info.run_id, "val_loss")
        points = [(point.step, point.value) for point in history]
        once = [(0, 2.0), (1, 1.0), (2, 2.0 / 3)]
        assert sorted(points) == sorted(once * (2 if kind == "killed" else 1))
        assert run.data.metrics["train_loss"] == pytest.approx(1 / 3)
    assert runs["well"].info.status == "FINISHED"
    assert runs["well"].data.metrics["acc"] == 0.5
    assert runs["well"].data.metrics["nested.f1"] == 0.25
    assert runs["fail"].info.status == "FAILED"
    assert runs["fail"].data.tags["argus.error_message"] == "no"
    assert "acc" not in runs["fail"].data.metrics
    if mode == "process_pool":
        assert runs["killed"].info.status == "FINISHED"
        assert runs["killed"].data.tags["argus.attempt"] == "2"


@pytest.mark.parametrize("mode", ["process_pool", "sequential"])
def test_wandb_offline(mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    spec = {"type": "wandb", "kwargs": {"project": "p", "mode": "offline"}}
    found = sweep(spec, tmp_path / "r", mode)
    if mode == "sequential":  # its service lives as long as the process
        import wandb

        wandb.teardown()
    for kind, record in found.items():
        folders = sorted(record["dir"].glob("wandb/offline-run-*"))
        assert len(folders) == (2 if kind == "killed" else 1)
        told = list(read_offline(folders[-1]))
        (run,) = [one["run"] for one in told if "run" in one]
        assert run["runId"] == record["run_id"]
        assert run["displayName"] == record["job_id"]
        assert run["project"] == "p"
        assert (run["runGroup"], run["tags"]) == ("g", ["k=v"])
        config = {item["key"]: json.loads(item["valueJson"]) for item in run["config"]["update"]}
        assert config["optim"] == {"lr": 0.1}
        points = [
            {item["nestedKey"][0]: json.loads(item["valueJson"]) for item in one["history"]["item"]}
            for one in told
            if "history" in one
        ]
        assert [(p["step"], p["val_loss"]) for p in points if "val_loss" in p] == [
            (0, 2.0),
            (1, 1.0),
            (2, pytest.approx(2 / 3)),
        ]
        (end,) = [one["exit"] for one in told if "exit" in one]
        assert end.get("exitCode", 0) == int(kind == "fail")
        summary: dict[str, Any] = {}
        for one in told:
            for item in one.get("summary", {}).get("update", []):
                key = item.get("key") or ".".join(item["nestedKey"])
                summary[key] = json.loads(item["valueJson"])
        assert summary["argus/status"] == record["status"]
        assert ("acc" in summary) is (kind != "fail")


def read_offline(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of an offline run: protocol buffers in LevelDB's log format, after 7 bytes."""
    from google.protobuf.json_format import MessageToDict
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("*.wandb")
    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield MessageToDict(record)


sessions: list[SweepSession] = []


def stops(ctx: Any) -> dict[str, Any]:
    ctx.log_metric(ctx.attempt, {"loss": 1.0})
    if not ctx.resumed:
        sessions[-1].stops.stop("user")
        assert ctx.stopped
    return {"acc": 1.0}


def test_a_stopped_run_goes_on_in_its_mlflow_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    spec = {"type": "mlflow", "kwargs": {"tracking_uri": uri, "experiment": "stopped"}}
    options: dict[str, Any] = {"tracker_specs": [spec], "mode": "sequential", "workers": 1}
    client = MlflowClient(tracking_uri=uri)

    statuses = []
    for _ in range(2):
        sessions.append(new_session(request_for([{"x": 1}], stops, tmp_path / "r", **options)))
        run_session(sessions[-1])
        experiment = client.get_experiment_by_name("stopped")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        statuses.append((run.info.status, run.data.tags["argus.status"], run.data.metrics))
    assert statuses == [
        ("KILLED", "failed", {"train_loss": 1.0}),
        ("FINISHED", "succeeded", {"train_loss": 1.0, "acc": 1.0}),
    ]


def test_the_example_by_its_command(monitor: ArgusServer, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    here = tmp_path / "examples" / "trackers"
    shutil.copytree(EXAMPLE, here, ignore=shutil.ignore_patterns("results"))
    (command,) = re.findall(r"```sh\n(.*?)\n```", (EXAMPLE / "README.md").read_text())
    program, *words = shlex.split(command)
    assert program == "argus-tasks"
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    (batch_id,) = batches(monitor)
    assert len(assert_reported_well(monitor, batch_id)) == 3
    assert monitor.batch(batch_id)["status"] == "done"
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert len(MlflowClient(store).search_runs(["1"])) == 3
    assert len(list(here.glob("results/*/wandb/offline-run-*"))) == 3


def fails_to_log_in(ctx: Any) -> None:
    raise ValueError(f"no login with {ctx.config['api_key']}, token=canary-error1")


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_no_tracker_is_told_a_secret(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the caller's own process, whose command line these tools look at themselves."""
    monkeypatch.chdir(tmp_path)  # no diff of this file
    monkeypatch.setattr(sys, "argv", ["t.py", "--api-token", "canary-argv1"])
    kwargs = {
        "mlflow": {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"},
        "wandb": {"project": "p", "mode": "offline"},
    }[name]
    run_configs(
        [{"api_key": "canary-key1", "logins": {"passwords": ["canary-item1"]}, "x": 0.5}],
        fails_to_log_in,
        tmp_path / "r",
        tracker_specs=[{"type": name, "kwargs": kwargs}],
        metadata=RunMetadata(experiment_name="exp", tags={"server": "https://u:canary-tag1@h/"}),
        mode="sequential",
        workers=1,
    )
    if name == "wandb":  # its service would stay as long as this process
        import wandb

        wandb.teardown()
    texts = {
        path: path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name not in ("config.json", "plan.jsonl")
    }
    assert [path for path, text in texts.items() if b"canary" in text] == []
    told = b"".join(text for path, text in texts.items() if path.suffix in (".db", ".wandb"))
    assert b"api_key" in told
    assert b"no login with ***, token=***" in told or name == "wandb"
