"""`sweep_flow` and `ExpRunner` against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import BadInput, ExpRunner, RunContext, RunMetadata, SweepFailed, sweep_flow
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.orchestration.mirror.mirror import Mirror, SettleReport
from tests.support import experiments
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records

ENDS = ("started_at", "finished_at")
MIXED = [{"kind": kind} for kind in ("ok", "value_error", "skip", "kill")]


def test_each_config_is_a_task_run_that_ends_as_its_run_did(
    served: str, results_root: Path
) -> None:
    summary = sweep_flow(
        MIXED, experiments.mixed, name="mirrored", results_root=results_root, workers=2
    )
    assert (summary.total, summary.succeeded, summary.failed, summary.skipped) == (4, 1, 2, 1)
    api = PrefectApi(served)
    flow_run = api.flow_run("mirrored-")
    assert flow_run["state_type"] == "FAILED"
    assert flow_run["state"]["message"] == "1 of 4 succeeded, 2 failed, 1 skipped"
    task_runs = {run["name"]: run for run in api.task_runs(flow_run["id"], settled=4)}
    assert {name: run["state_name"] for name, run in task_runs.items()} == {
        "ok": "Completed",
        "value_error": "Failed",
        "skip": "Skipped",
        "kill": "Failed",
    }
    assert task_runs["skip"]["state_type"] == "COMPLETED"
    assert "ValueError: a bad value" in task_runs["value_error"]["state"]["message"]
    assert "signal SIGKILL" in task_runs["kill"]["state"]["message"]
    folders = {record["config"]["kind"]: record["dir"] for record in records(results_root)}
    for name, run in task_runs.items():
        assert str(folders[name]) in run["state"]["message"]


def test_the_server_knows_every_quick_run_when_the_sweep_returns(
    served: str, results_root: Path
) -> None:
    summary = sweep_flow(
        [{"x": x} for x in range(400)],
        experiments.noop,
        name="quick",
        results_root=results_root,
        workers=2,
    )
    assert (summary.succeeded, summary.unmirrored) == (400, 0)
    api = PrefectApi(served)
    flow_run = {"flow_run_id": {"any_": [api.flow_run("quick-")["id"]]}}
    for task_runs, count in (
        ({**flow_run, "state": {"type": {"any_": ["COMPLETED"]}}}, 400),
        (flow_run, 400),
    ):
        assert api.post("/task_runs/count", {"task_runs": task_runs}) == count


@pytest.mark.slow
def test_jobs_of_50_ms_hardly_wait_for_the_server(
    served: str, results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 on two workers: held back and settled in 5 % of the time that the work takes, and in less
    than a second; in the best of three sweeps, since a busy machine slows one or the other."""
    waited: list[float] = []
    settle = Mirror.settle

    def timed(mirror: Mirror, expected: Any, **words: Any) -> SettleReport:
        begun = time.monotonic()
        report = settle(mirror, expected, **words)
        waited.append(time.monotonic() - begun + mirror.held_s)
        return report

    monkeypatch.setattr(Mirror, "settle", timed)
    shares = []
    for number in range(3):
        summary = sweep_flow(
            [{"nap_s": 0.05, "x": x} for x in range(200)],
            experiments.nap,
            results_root=results_root / str(number),
            workers=2,
        )
        assert (summary.succeeded, summary.unmirrored) == (200, 0)
        found = records(results_root / str(number))
        at = [datetime.fromisoformat(record[key]) for record in found for key in ENDS]
        shares.append(waited[-1] / (max(at) - min(at)).total_seconds())
    assert min(waited) < 1
    assert min(shares) <= 0.05


def test_retries_are_prefects(served: str, results_root: Path) -> None:
    configs = [{"succeeds_at": 3}, {"succeeds_at": 9}]
    summary = sweep_flow(
        configs,
        experiments.flaky,
        name="retried",
        results_root=results_root,
        workers=2,
        max_attempts=3,
        retry_on=["OSError"],
        delay_s=0.05,
    )
    assert (summary.succeeded, summary.failed) == (1, 1)
    assert [record["attempt"] for record in records(results_root)] == [3, 3]
    api = PrefectApi(served)
    task_runs = api.task_runs(api.flow_run("retried-")["id"], settled=2)
    assert [(run["state_type"], run["run_count"]) for run in task_runs] == [
        ("COMPLETED", 3),
        ("FAILED", 3),
    ]


def test_what_is_not_to_be_retried_is_not(served: str, results_root: Path) -> None:
    sweep_flow(
        [{"succeeds_at": 3}],
        experiments.flaky,
        results_root=results_root,
        max_attempts=3,
        retry_on=["ValueError"],
    )
    assert records(results_root)[0]["attempt"] == 1


@pytest.mark.parametrize("mode", ["sequential", "thread", "joblib", "dynamic"])
def test_every_mode_runs(mode: str, served: str, results_root: Path) -> None:
    summary = sweep_flow(
        [{"x": x} for x in range(5)],
        experiments.noop,
        results_root=results_root,
        mode=mode,  # type: ignore[arg-type]
        workers=2,
    )
    assert summary.ok
    assert len(records(results_root)) == 5


def test_raise_on_failure_raises_with_the_summary(served: str, results_root: Path) -> None:
    with pytest.raises(SweepFailed, match="0 of 1 succeeded, 1 failed") as caught:
        sweep_flow(
            [{"kind": "value_error"}],
            experiments.mixed,
            results_root=results_root,
            raise_on_failure=True,
        )
    assert caught.value.summary.failed == 1


def test_a_lambda_over_ten_configs(served: str, results_root: Path) -> None:
    def sweep(base: int) -> tuple[int, int]:
        summary = sweep_flow(
            [{"x": x} for x in range(10)],
            lambda ctx: {"y": ctx.config["x"] + base},
            results_root=results_root,
            workers=2,
        )
        return summary.succeeded, summary.reused

    assert sweep(10) == (10, 0)
    assert sweep(10) == (10, 10), "the same code and values are the same experiment"
    assert sweep(20) == (10, 0), "it closes over another value"


def test_bad_input_is_one_sentence_and_nothing_is_written(served: str, results_root: Path) -> None:
    for options, words in (
        ({"mode": "proces_pool"}, r"mode is \"proces_pool\"; .* Did you mean 'process_pool'\?"),
        ({"workers": 0}, "workers is 0; expected an integer of 1 or more, or auto"),
        ({"retry_on": "ValueError"}, r'retry_on is "ValueError"; expected a list'),
        ({"tracker_specs": [{"type": "jsnol"}]}, r"'jsnol' is not known; .* mean 'jsonl'"),
    ):
        with pytest.raises(BadInput, match=words):
            sweep_flow([{"x": 1}], experiments.noop, results_root=results_root, **options)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"configs\[1\] is 3; expected a mapping"):
        sweep_flow([{"x": 1}, 3], experiments.noop, results_root=results_root)  # type: ignore[list-item]
    assert not results_root.exists()


def test_inside_a_users_own_flow(served: str, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "from prefect import flow\n"
        "from argus_tasks import sweep_flow\n"
        "@flow(name='outer')\n"
        "def outer():\n"
        "    configs = [{'x': 1}, {'x': 2}]\n"
        "    return sweep_flow(configs, lambda ctx: {'y': 1}, name='inner').succeeded\n"
        "if __name__ == '__main__':\n"
        "    assert outer() == 2\n"
    )
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_API_URL": served},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    api = PrefectApi(served)
    inner = api.flow_run("inner-")
    assert inner["parent_task_run_id"] is not None
    assert len(api.task_runs(inner["id"], settled=2)) == 2


def test_off_the_main_thread(served: str, results_root: Path) -> None:
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.append(
            sweep_flow([{"x": 1}], experiments.noop, results_root=results_root).succeeded
        )
    )
    thread.start()
    thread.join(60)
    assert found == [1]


async def _within_a_loop(results_root: Path) -> int:
    return sweep_flow([{"x": 1}], experiments.noop, results_root=results_root).succeeded


def test_under_a_running_event_loop(served: str, results_root: Path) -> None:
    import asyncio

    assert asyncio.run(_within_a_loop(results_root)) == 1


async def async_experiment(ctx: object) -> dict[str, int]:
    import asyncio

    await asyncio.sleep(0)
    return {"y": 1}


@pytest.mark.parametrize("mode", ["process_pool", "sequential", "thread"])
def test_async_experiments(mode: str, served: str, results_root: Path) -> None:
    summary = sweep_flow(
        [{"x": 1}],
        async_experiment,
        results_root=results_root,
        mode=mode,  # type: ignore[arg-type]
    )
    assert summary.succeeded == 1
    metrics = records(results_root)[0]["dir"] / "metrics.json"
    assert json.loads(metrics.read_text()) == {"y": 1}


@pytest.mark.parametrize("mode", ["sequential", "thread"])
def test_experiments_that_use_prefect_themselves(
    mode: str, served: str, results_root: Path
) -> None:
    from prefect import get_run_logger, task

    @task
    def double(x: int) -> int:
        return 2 * x

    def experiment(ctx: RunContext) -> dict[str, int]:
        get_run_logger().info("in Prefect's log")
        return {"called": double(ctx.config["x"]), "sent": double.submit(ctx.config["x"]).result()}

    summary = sweep_flow(
        [{"x": 4}],
        experiment,
        results_root=results_root,
        mode=mode,  # type: ignore[arg-type]
    )
    assert summary.ok
    metrics = records(results_root)[0]["dir"] / "metrics.json"
    assert json.loads(metrics.read_text()) == {"called": 8, "sent": 8}


def test_in_a_folder_with_a_flows_of_its_own(served: str, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit('the wrong flows')\n")
    (tmp_path / "flows" / "sweep.py").write_text("raise SystemExit('the wrong sweep')\n")
    code = (
        "import flows_probe, sys\n"
        "from argus_tasks import sweep_flow\n"
        "s = sweep_flow([{'x': x} for x in range(10)], lambda ctx: {'y': ctx.config['x']})\n"
        "sys.exit(0 if s.succeeded == 10 else 1)\n"
    )
    (tmp_path / "flows_probe.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_API_URL": served},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(records(tmp_path / "results")) == 10


def test_the_runner_keeps_equal_configs_and_reuses_nothing(served: str, results_root: Path) -> None:
    runner = ExpRunner([{"x": 1}, {"x": 1}], results_root, experiments.noop)
    meta = RunMetadata(experiment_name="e", group="g", tags=["t"])
    for batches in (1, 2):
        summary = runner.run(metadata=meta)
        assert (summary.total, summary.succeeded, summary.reused) == (2, 2, 0)
        found = records(results_root)
        assert len(found) == 2 * batches
        assert len({record["batch_id"] for record in found}) == batches
        assert len({record["job_id"] for record in found}) == 2 * batches
    assert (found[0]["experiment_name"], found[0]["group"], found[0]["tags"]) == ("e", "g", ["t"])


def test_the_runner_refuses_before_anything_is_written(results_root: Path) -> None:
    with pytest.raises(ValueError, match="exp_function is missing"):
        ExpRunner([{"x": 1}], results_root).run()
    with pytest.raises(ValueError, match='mode is "threads"'):
        ExpRunner([{"x": 1}], results_root, experiments.noop).run(mode="threads")
    assert ExpRunner([], results_root, experiments.noop).run().total == 0
    assert not results_root.exists()


def test_a_results_root_that_cannot_be_made_is_named(served: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"results_root is '.*/file/results'; expected a folder"):
        sweep_flow([{"x": 1}], experiments.noop, results_root=tmp_path / "file" / "results")


def test_a_server_that_does_not_answer_is_named(
    results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(
        ArgusTasksError,
        match=r"PREFECT_API_URL is 'http://127.0.0.1:9/api', but Prefect's server does not answer",
    ):
        sweep_flow([{"x": 1}], experiments.noop, results_root=results_root)
    assert not results_root.exists()


def test_configs_start_in_their_order(served: str, results_root: Path) -> None:
    summary = sweep_flow(
        [{"x": x} for x in range(60)], experiments.noop, results_root=results_root, workers=1
    )
    assert summary.ok
    found = sorted(records(results_root), key=lambda record: str(record["started_at"]))
    configs = [json.loads((record["dir"] / "config.json").read_text()) for record in found]
    assert [config["x"] for config in configs] == list(range(60))
