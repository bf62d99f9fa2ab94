"""`benchmark/nightly` on a real server: switched on, run, kept over restarts, missed, made up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.integration.test_deployments import PREFECT, ROOT, WATCH, environment, prefect, running
from tests.integration.test_stopping import wait_for
from tests.support.prefect_api import PrefectApi

SWEEP = """
name: tiny
experiment: experiment:run
results_root: results
grid: {x: [1, 2]}
repeats: 3
execution: {mode: sequential}
"""
AT_WORK = {"RUNNING", "COMPLETED", "FAILED"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP)
    (tmp_path / "experiment.py").write_text(
        "def run(ctx):\n    return {'score': ctx.config['x']}\n"
    )
    return path


def argus_tasks(api_url: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=ROOT,
        env=environment(api_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def nightlies(api: PrefectApi) -> list[dict[str, Any]]:
    """The flow runs of the deployment, by when they were due."""
    found: list[dict[str, Any]] = api.post(
        "/flow_runs/filter",
        {"deployments": {"name": {"any_": ["nightly"]}}, "sort": "EXPECTED_START_TIME_ASC"},
    )
    return found


def is_deployed(api: PrefectApi) -> bool:
    found = api.post("/deployments/filter", {"deployments": {"name": {"any_": ["nightly"]}}})
    return bool(found)


def due(api: PrefectApi, since: datetime, before: datetime) -> list[dict[str, Any]]:
    """Those due in that time."""
    return [
        run
        for run in nightlies(api)
        if since <= datetime.fromisoformat(run["expected_start_time"]) < before
    ]


@contextmanager
def served(api_url: str, log: Path) -> Iterator[None]:
    with running(api_url, sys.executable, "-m", "deployments.serve", log=log):
        wait_for(lambda: log.exists() and "benchmark/nightly: its" in log.read_text(), 60)
        wait_for(lambda: is_deployed(PrefectApi(api_url)), 60)
        yield


def miss_slots(api_url: str, spec: Path, **more: Any) -> tuple[datetime, datetime]:
    """Deploy with a schedule of every five seconds and nobody to run it, until three have passed;
    from when until when that was."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.schedules import Interval
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.types.entrypoint import EntrypointType

    from argus_tasks.flows.benchmark import benchmark_flow

    with temporary_settings({PREFECT_API_URL: api_url}):
        benchmark_flow.to_deployment(
            name="nightly",
            parameters={"spec": str(spec), "metric": "score"},
            schedules=[Interval(timedelta(seconds=5), slug="nightly")],
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW"),
            entrypoint_type=EntrypointType.MODULE_PATH,
            **more,
        ).apply(**more)
    api, begin = PrefectApi(api_url), datetime.now(UTC)
    wait_for(lambda: len(due(api, begin, datetime.now(UTC))) >= 3, 60)
    return begin, datetime.now(UTC)


def test_served_switched_on_and_run(api_url: str, spec: Path, tmp_path: Path) -> None:
    api = PrefectApi(api_url)
    with served(api_url, tmp_path / "first.log"):
        assert argus_tasks(api_url, "nightly") == "benchmark/nightly: off (0 2 * * * UTC)\n"
        done = prefect(
            api_url,
            *("deployment", "run", "benchmark/nightly", "--flow-run-name", "by-hand"),
            *("--param", f"spec={spec}", "--param", "metric=score", *WATCH),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = api.flow_run("by-hand")
        assert (found["state_type"], found["state_name"]) == ("COMPLETED", "NoBaseline")
        told = argus_tasks(api_url, "nightly", "on")
        assert told.startswith("benchmark/nightly: on (0 2 * * * UTC)\n")
    with served(api_url, tmp_path / "second.log"):
        assert "benchmark/nightly: its schedule is on" in (tmp_path / "second.log").read_text()
        assert argus_tasks(api_url, "nightly", "off").startswith("benchmark/nightly: off")


def assert_one_worked(api: PrefectApi, begin: datetime, back: datetime, log: Path) -> None:
    """Of the runs due in that time one has done the work, once all have ended."""

    def states() -> list[tuple[str, str]]:
        return [(run["state_type"], run["state_name"]) for run in due(api, begin, back)]

    def settled() -> bool:
        return all(kind in {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"} for kind, _ in states())

    try:
        wait_for(settled, 90)
    except AssertionError:
        raise AssertionError(f"{states()}\n{log.read_text()[-3000:]}") from None
    worked = [name for kind, name in states() if kind in AT_WORK and name != "Skipped"]
    assert worked == ["NoBaseline"], states()
    assert len(states()) >= 3


def test_what_was_missed_is_one_run_when_it_is_served_again(
    api_url: str, spec: Path, tmp_path: Path
) -> None:
    begin, back = miss_slots(api_url, spec)
    with served(api_url, tmp_path / "log"):
        assert_one_worked(PrefectApi(api_url), begin, back, tmp_path / "log")
        assert "benchmark/nightly: its schedule is on" in (tmp_path / "log").read_text()


def test_what_was_missed_is_one_run_for_a_worker_that_returns(
    api_url: str, spec: Path, tmp_path: Path
) -> None:
    pool = prefect(api_url, "work-pool", "create", "local", "--type", "process", "--overwrite")
    assert pool.returncode == 0, pool.stderr
    begin, back = miss_slots(api_url, spec, work_pool_name="local")
    with running(
        api_url, PREFECT, "worker", "start", "--pool", "local", "--limit", "1", log=tmp_path / "log"
    ):
        assert_one_worked(PrefectApi(api_url), begin, back, tmp_path / "log")


def test_tell_me(api_url: str, tmp_path: Path) -> None:
    """The automation of docs/nightly.md posts what the flow run's state says."""
    from prefect import flow
    from prefect.blocks.webhook import Webhook
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.states import Failed

    @flow(name="benchmark")
    def worse() -> Any:
        return Failed(name="Regression", message="worse: mse of mlp nile")

    told: list[str] = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    page = (ROOT / "docs" / "nightly.md").read_text()
    [text] = [part.partition("```")[0] for part in page.split("```yaml\n") if "BLOCK_ID\n" in part]
    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as chat:
        Thread(target=chat.serve_forever, daemon=True).start()
        with temporary_settings({PREFECT_API_URL: api_url}):
            hook = Webhook(url=f"http://127.0.0.1:{chat.server_port}/", allow_private_urls=True)
            block = hook.save("tell-me", overwrite=True)
            file = tmp_path / "tell-me.yaml"
            file.write_text(text.replace("BLOCK_ID", str(block)))
            made = prefect(api_url, "automation", "create", "--from-file", str(file))
            assert made.returncode == 0, made.stdout + made.stderr
            wait_for(lambda: bool(worse(return_state=True)) and bool(told), 60)
        chat.shutdown()
    assert "worse: mse of mlp nile" in json.loads(told[0])["text"]
