"""A sweep and its monitor: what a real Argus server's rows say after each kind of end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import ExpRunner, sweep_flow
from argus_tasks.orchestration.prefect_artifacts import monitor_plots as key_plots
from argus_tasks.reporting import batch_reporter as batch_reporting
from argus_tasks.session import end_deadline
from tests.argus_server import ArgusServer, Faults
from tests.support import experiments, reporting_experiments
from tests.support.delivery import assert_accounts_meet, epochs_of
from tests.support.monitor_rows import assert_reported_well, jobs_reported, kinds
from tests.support.reporting_experiments import EPOCHS

TRAIN = "tests.support.reporting_experiments:train"


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArgusServer]:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    # A busy machine may need longer than a sweep waits for its monitor.
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "30")
    monkeypatch.setattr(batch_reporting, "_WAIT_WHILE_FAILING_S", 30.0)
    with ArgusServer() as server:
        monkeypatch.setenv("ARGUS_URL", server.url)
        yield server


def only_batch(server: ArgusServer) -> str:
    (batch_id,) = {row["batch_id"] for row in server.rows()}
    return str(batch_id)


KINDS: dict[str, tuple[str, str | None]] = {
    "well": ("job_done", None),
    "skip": ("job_done", None),
    "fail": ("job_failed", "ValueError"),
    "flaky": ("job_done", None),
}
ISOLATED = ("process_pool", "dask")
DEATHS: dict[str, tuple[str, str | None]] = {
    "kill": ("job_failed", "signal SIGKILL"),
    "exit": ("job_failed", "exit 3"),
}


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("process_pool", {}),
        pytest.param("process_pool", {"fresh_process": True}, marks=pytest.mark.slow),
        pytest.param("dask", {}, marks=pytest.mark.slow),
        ("thread", {}),
        pytest.param("sequential", {}, marks=pytest.mark.slow),
    ],
    ids=["pool", "fresh", "dask", "thread", "sequential"],
)
def test_every_kind_of_end(
    mode: Any, options: dict[str, Any], served: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    monitor.faults = Faults(status=503, times=2)
    results = tmp_path / "results"
    expected = KINDS | (DEATHS if mode in ISOLATED else {})
    summary = sweep_flow(
        [{"kind": kind, "model": "mlp", "dataset": "nile", "seed": 3} for kind in expected],
        TRAIN,
        results_root=results,
        project="p",
        name="ends",
        mode=mode,
        workers=2,
        max_attempts=2,
        retry_on=["ConnectionError"],
        **options,
    )
    batch_id = only_batch(monitor)
    last = assert_reported_well(monitor, batch_id)
    names = {f"mlp-nile-s3-{kind}": kind for kind in expected}
    assert set(last) == set(names)
    for name, row in last.items():
        kind = names[name]
        wanted, cause = expected[kind]
        assert (row["event_type"], row["data"].get("cause")) == (wanted, cause), name
        mine = jobs_reported(monitor, batch_id)[name]
        attempts = 2 if kind == "flaky" else 1
        assert epochs_of(mine) == list(range(EPOCHS)) * attempts
        assert kinds(mine).count("job_start") == 1
        start = mine[0]["data"]
        assert (start["model"], start["dataset"], start["seed"]) == ("mlp", "nile", 3)
        run = json.loads(Path(start["run_dir"], "run.json").read_text())
        assert start["config_digest"] == run["digest"]
        assert run["job_id"] == row["job_id"]

    told = kinds(monitor.rows(batch_id))
    last_start = max(index for index, kind in enumerate(told) if kind == "job_start")
    assert "job_done" in told[:last_start], "an end is told when it comes"

    done = last["mlp-nile-s3-well"]["data"]
    assert done["status"] == "DONE"
    assert done["metrics"] == {"loss": 0.25}
    assert done["train_epochs"] == EPOCHS
    assert 0 < done["elapsed_s"] < 120
    assert "cpu_s" in done["resources"]
    assert ("peak_ram_mb" in done["resources"]) == (mode in ISOLATED)
    assert last["mlp-nile-s3-skip"]["data"]["status"] == "SKIPPED"
    assert last["mlp-nile-s3-flaky"]["data"]["attempts"] == 2
    lines = [
        row["data"]["line"]
        for row in jobs_reported(monitor, batch_id)["mlp-nile-s3-flaky"]
        if row["event_type"] == "log_line"
    ]
    assert lines == ["attempt 1 failed: ConnectionResetError: for now; trying again"]
    failed = last["mlp-nile-s3-fail"]["data"]
    assert failed["reason"] == "ValueError: a bad value"
    assert "ValueError: a bad value" in failed["error"]
    assert "about to fail" in failed["log_tail"]

    batch = monitor.batch(batch_id)
    assert batch["status"] == "failed"
    assert batch["start"]["n_total_jobs"] == len(expected)
    assert batch["end"]["reason"] == f"{summary.failed} of {len(expected)} failed"
    assert (batch["end"]["n_done"], batch["end"]["n_failed"]) == (3, summary.failed)
    assert batch["env"]["python_version"]
    boxes = [tmp_path / "outbox", *([results / ".sweep"] if mode == "dask" else [])]
    accounts = [account for box in boxes for account in assert_accounts_meet(box)]
    assert sum(account.delivered for account in accounts) == len(monitor.rows())
    assert all(account.delivered == account.emitted for account in accounts)
    assert not list((tmp_path / "outbox").glob("*/*.seg")), "all is delivered"


def test_reporters_metrics_and_uploads_in_experiments(
    served: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    def ran(experiment: Any, **options: Any) -> list[dict[str, Any]]:
        before = {row["batch_id"] for row in monitor.rows()}
        summary = sweep_flow(
            [options.pop("config", {"x": 1})],
            experiment,
            results_root=tmp_path / experiment.__name__,
            project="p",
            workers=1,
            **options,
        )
        assert summary.ok
        (batch_id,) = {row["batch_id"] for row in monitor.rows()} - before
        (mine,) = jobs_reported(monitor, batch_id).values()
        assert_reported_well(monitor, batch_id)
        assert monitor.batch(batch_id)["status"] == "done"
        return mine

    mine = ran(reporting_experiments.with_reporter)
    assert epochs_of(mine) == list(range(EPOCHS))
    assert mine[-1]["data"]["metrics"] == {"accuracy": 0.9, "loss": 0.25}
    assert mine[-1]["data"]["train_epochs"] == EPOCHS
    assert [row["data"]["line"] for row in mine if row["event_type"] == "log_line"] == [
        f"in {mine[0]['batch_id']}"
    ]

    mine = ran(reporting_experiments.with_metrics)
    points = [row["data"] for row in mine if row["event_type"] == "job_epoch"]
    assert points == [
        point
        for step in range(EPOCHS)
        for point in (
            {"epoch": step, "train_loss": 0.5, "lr": 0.1},
            {"epoch": step, "val_loss": 0.7},
        )
    ]
    assert mine[-1]["data"]["train_epochs"] == EPOCHS

    mine = ran(reporting_experiments.waits, mode="thread")
    assert epochs_of(mine) == list(range(EPOCHS))

    mine = ran(reporting_experiments.burns, config={"mb": 150, "cpu_s": 0.2})
    used = mine[-1]["data"]["resources"]
    assert 150 < used["peak_ram_mb"] < 400
    assert 0.2 <= used["cpu_s"] < 2

    mine = ran(reporting_experiments.with_child)
    assert epochs_of(mine) == list(range(50))
    assert mine[-1]["data"]["metrics"] == {"accuracy": 0.75, "loss": 0.25}
    assert mine[-1]["data"]["train_epochs"] == 50

    mine = ran(reporting_experiments.with_fork)
    assert epochs_of(mine) == [0, 1, *range(50)]

    ran(reporting_experiments.with_upload)
    assert monitor.wait_for(lambda server: len(server.artifacts) == 1)


def test_a_warm_workers_peak_is_that_of_each_run(
    served: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    sweep_flow(
        [{"mb": mb, "cpu_s": 0.0} for mb in (200, 1)],
        reporting_experiments.burns,
        results_root=tmp_path / "results",
        workers=1,
    )
    peaks = [row["data"]["resources"]["peak_ram_mb"] for row in monitor.rows(event_type="job_done")]
    assert peaks[0] > 200
    assert peaks[1] < 120


def test_without_a_monitor_nothing_is_written(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    assert sweep_flow([{"x": 1}], TRAIN, results_root=tmp_path / "results").ok
    assert not (tmp_path / "outbox").exists()
    (batch,) = (path.parent for path in (tmp_path / "results" / ".sweep").glob("*/sweep.json"))
    assert not (batch / "monitor.jsonl").exists()
    (lines,) = (tmp_path / "results").glob("*/metrics.jsonl")
    assert [json.loads(line)["step"] for line in lines.read_text().splitlines()] == [0, 1, 2]


def test_a_failed_batch_is_opened_again_and_a_done_one_goes_on_as_the_next(
    served: str, monitor: ArgusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*configs: dict[str, Any]) -> None:
        sweep_flow(configs, TRAIN, results_root=tmp_path / "r", project="p", name="n", workers=2)

    start({"x": 1}, {"x": 2, "kind": "fail"})
    first = only_batch(monitor)
    assert monitor.batch(first)["status"] == "failed"

    start({"x": 1})  # the failed one is given up
    assert_reported_well(monitor, first)
    batch = monitor.batch(first)
    assert batch["status"] == "done"
    assert batch["start"]["n_total_jobs"] == 1
    rows = len(monitor.rows())

    start({"x": 1})  # nothing to run: nothing to tell
    assert len(monitor.rows()) == rows

    start({"x": 1}, {"x": 3}, {"x": 4})
    second = f"{first}.2"
    batch = monitor.batch(second)
    assert batch["status"] == "done"
    assert batch["start"]["n_total_jobs"] == 2
    assert (batch["start"]["reused"], batch["start"]["continues"]) == (1, first)
    last = assert_reported_well(monitor, second)
    assert len(last) == 2
    assert {row["job_id"] for row in last.values()}.isdisjoint(monitor.jobs(first))

    start({"x": 5}, {"x": 1})
    assert monitor.batch(f"{first}.3")["start"]["continues"] == second
    assert {row["batch_id"] for row in monitor.rows()} == {first, second, f"{first}.3"}


def test_a_sweep_that_lasts_leaves_its_key_plots_with_the_job_that_leads(
    served: str, monitor: ArgusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_plots, "LEAST_S", 0.0)
    monkeypatch.setattr(end_deadline, "NORMAL_S", 60.0)
    configs = [{"x": x} for x in (3, 1, 2)]
    started = {"results_root": tmp_path / "r", "name": "plotted", "project": "p"}
    summary = sweep_flow(configs, experiments.score, **started)
    assert summary.ok
    assert monitor.wait_for(lambda server: len(server.artifacts) == 3, 60)
    batch_id = only_batch(monitor)
    assert len(assert_reported_well(monitor, batch_id)) == 3
    batch = monitor.batch(batch_id)
    assert (batch["status"], batch["n_done"], batch["n_failed"]) == ("done", 3, 0)
    ((job_id, label),) = {(one["id"], one["label"]) for one in monitor.artifacts}
    assert label == "sweep"
    assert monitor.job(job_id)["end"]["metrics"]["score"] == 6
    assert {one["name"] for one in monitor.artifacts} == {
        "leaderboard.svg",
        "effect-x.svg",
        "curves-loss-valid.svg",
    }


def test_each_call_of_a_runner_is_a_batch(
    served: str, monitor: ArgusServer, tmp_path: Path
) -> None:
    runner = ExpRunner([{"x": 1}, {"x": 1}], tmp_path / "results", reporting_experiments.train)
    for _ in range(2):
        runner.run(mode="process_pool", workers=2)
    batches = {row["batch_id"] for row in monitor.rows()}
    assert len(batches) == 2
    for batch_id in batches:
        assert len(assert_reported_well(monitor, batch_id)) == 2
        assert monitor.batch(batch_id)["status"] == "done"


def test_a_monitor_that_is_away_is_never_in_the_way(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "0.3")
    monkeypatch.setenv("ARGUS_URL", "http://127.0.0.1:9")
    assert sweep_flow([{"x": x} for x in range(3)], TRAIN, results_root=tmp_path / "r").ok
    (account,) = assert_accounts_meet(tmp_path / "outbox")
    assert account.waiting == account.emitted > 3 * (EPOCHS + 2)


def test_an_end_that_was_sent_and_not_noted_is_not_sent_again(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the event and the note of it, and another before either of them."""
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "0.1")
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    monitor = ArgusServer(port=0)
    monkeypatch.setenv("ARGUS_URL", monitor.url)
    monitor.faults.black_hole = True
    monitor.start()
    configs = [{"x": 1}, {"x": 2}]
    assert sweep_flow(configs, TRAIN, results_root=tmp_path / "r", name="n", project="p").ok
    (notes,) = tmp_path.glob("r/.sweep/*/monitor.jsonl")
    lines = [line for line in notes.read_text().splitlines() if '"opened"' in line]
    notes.write_text("".join(f"{line}\n" for line in lines))

    monitor.heal()
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "10")
    assert sweep_flow(configs, TRAIN, results_root=tmp_path / "r", name="n", project="p").ok
    batch_id = only_batch(monitor)
    assert_reported_well(monitor, batch_id)
    assert kinds(monitor.rows(batch_id)).count("job_done") == 2
    assert monitor.batch(batch_id)["status"] == "done"
    assert monitor.batch(batch_id)["n_done"] == 2

    # Nothing waits any more, so an end that has no note counts as not sent.
    notes.write_text("".join(f"{line}\n" for line in lines))
    assert sweep_flow(configs, TRAIN, results_root=tmp_path / "r", name="n", project="p").ok
    last = jobs_reported(monitor, batch_id)["x1"][-1]["data"]
    assert (last["status"], last["metrics"]) == ("DONE", {"loss": 0.25})
    monitor.close()
