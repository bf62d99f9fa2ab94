"""`sweep/default`, served from one process and through a work pool, as its user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_stopping import wait_for
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
CONFIGS = [
    {"dataset": "nile", "model": "naive", "lags": 12},
    {"dataset": "nile", "model": "ridge", "penalties": [1.0], "lags": 12},
]


def environment(api_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "PREFECT_API_URL": api_url,
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    }


@contextmanager
def running(api_url: str, *command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(api_url),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def prefect(api_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PREFECT, *words],
        cwd=ROOT,
        env=environment(api_url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_deployment(api_url: str, results: Path, *words: str, configs: Any = CONFIGS) -> Any:
    return prefect(
        api_url,
        "deployment",
        "run",
        "sweep/default",
        "--param",
        f"configs={json.dumps(configs)}",
        "--param",
        f"results_root={results}",
        *words,
    )


WATCH = ("--watch", "--watch-interval", "1", "--watch-timeout", "90")


def deployed(api: PrefectApi) -> bool:
    return any(
        found["name"] == "default" for found in api.post("/deployments/filter", {"limit": 50})
    )


@pytest.fixture(scope="module")
def served_deployment(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    with running(api_url, sys.executable, "-m", "deployments.serve", log=log):
        wait_for(lambda: deployed(PrefectApi(api_url)), 60)
        yield api_url


def test_served(served_deployment: str, tmp_path: Path) -> None:
    api_url, results = served_deployment, tmp_path / "results"
    done = run_deployment(api_url, results, "--flow-run-name", "served-run", *WATCH)
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(results)
    assert [record["status"] for record in found] == ["succeeded"] * 2
    api = PrefectApi(api_url)
    task_runs = api.task_runs(api.flow_run("served-run")["id"], settled=2)
    assert [run["name"] for run in task_runs] == ["naive-nile", "ridge-nile-penalties1"]
    assert {run["state_type"] for run in task_runs} == {"COMPLETED"}

    with ThreadPoolExecutor(2) as both:
        failed = both.submit(
            run_deployment, api_url, results, *WATCH, configs=[{"dataset": "mars"}]
        )
        refused = both.submit(run_deployment, api_url, results, "--param", 'workers="many"', *WATCH)
    assert failed.result().returncode == 1
    assert refused.result().returncode == 1
    assert "workers" in refused.result().stdout + refused.result().stderr


def test_cancelled_from_prefect(served_deployment: str, tmp_path: Path) -> None:
    api_url, results = served_deployment, tmp_path / "results"
    marks = tmp_path / "marks"
    marks.mkdir()
    done = run_deployment(
        api_url,
        results,
        "--param",
        "experiment=tests.support.experiments:slow",
        "--flow-run-name",
        "to-be-cancelled",
        configs=[{"marks": str(marks), "x": x} for x in range(3)],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: len(list(marks.iterdir())) == 2, 60)
    api = PrefectApi(api_url)
    flow_run = api.flow_run("to-be-cancelled")
    assert prefect(api_url, "flow-run", "cancel", flow_run["id"]).returncode == 0
    wait_for(lambda: api.flow_run("to-be-cancelled")["state_type"] == "CANCELLED", 60)
    wait_for(lambda: all(r["status"] == "failed" for r in records(results)), 60)
    assert [(r["cause"], r["resumable"]) for r in records(results)] == [
        ("stopped by Prefect", True)
    ] * 2
    states = {run["state_type"] for run in api.task_runs(flow_run["id"], settled=2)}
    assert states == {"CANCELLED"}


@pytest.mark.slow
def test_through_a_work_pool(api_url: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    pool = prefect(api_url, "work-pool", "create", "local", "--type", "process", "--overwrite")
    assert pool.returncode == 0, pool.stderr
    deploy = prefect(
        api_url,
        "deploy",
        "--all",
        "--no-prompt",
        "--prefect-file",
        "deployments/prefect.yaml",
    )
    assert deploy.returncode == 0, deploy.stdout + deploy.stderr
    log = tmp_path / "worker.log"
    with running(api_url, PREFECT, "worker", "start", "--pool", "local", log=log):
        done = run_deployment(api_url, results, *WATCH)
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
    assert [record["status"] for record in records(results)] == ["succeeded"] * 2
