"""A sweep that is ended in other ways than by a kill at random, and then goes on: in the end every
config has run, its files agree, and its monitor has one batch with one end a job.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.runs.ledger.verification import verify
from argus_tasks.server.configuration import prefect_version
from tests.argus_server import ArgusServer, ServerProcess
from tests.integration.test_deployments import deployed, prefect, run_deployment, running
from tests.support.monitor_rows import Rows, assert_reported_well
from tests.support.prefect_api import PrefectApi
from tests.support.servers import Bench
from tests.support.sessions import records
from tests.support.stock_server import StockServer
from tests.support.torture import WORKERS, Torture
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIGS = 16
RETRY = 'retry: {max_attempts: 2, retry_on: ["signal SIGTERM"]}'


def to_argus(url: str, tmp_path: Path) -> dict[str, str]:
    return {"ARGUS_URL": url, "ARGUS_OUTBOX_DIR": str(tmp_path / "outbox")}


@pytest.fixture
def monitor() -> Iterator[ArgusServer]:
    with ArgusServer() as server:
        yield server


@pytest.fixture
def told(monitor: ArgusServer, api_url: str, tmp_path: Path) -> Torture:
    """A sweep with a monitor."""
    environment = {"PREFECT_API_URL": api_url, **to_argus(monitor.url, tmp_path)}
    return Torture(tmp_path, environment, CONFIGS, gated=True)


def assert_told_whole(torture: Torture, monitor: Rows) -> None:
    """All files agree; the monitor has one batch, and of each job one end that says done."""
    torture.assert_whole()
    torture.deliver()
    (batch_id,) = {row["batch_id"] for row in monitor.rows()}
    last = assert_reported_well(monitor, batch_id)
    assert len(last) == torture.configs
    assert {row["event_type"] for row in last.values()} == {"job_done"}
    assert "all is whole" in torture.command("verify", str(torture.results), "--no-prefect")


def assert_at_most_what_was_in_flight_ran_again(torture: Torture, ends: int) -> None:
    again = sum(torture.started().values()) - torture.configs
    assert 0 <= again <= ends * WORKERS


@pytest.fixture
def clock(tmp_path: Path) -> dict[str, str]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a clock of its own")
    source = Path(__file__).parents[1] / "support/shifted_clock.c"
    library = tmp_path / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


def test_the_clock_goes_back_between_the_tries(
    told: Torture, monitor: ArgusServer, clock: dict[str, str]
) -> None:
    for turn, hours in enumerate((0, -1, -2)):
        sweep = told.start(**clock, CLOCK_SHIFT_S=str(hours * 3600))
        told.hold(sweep, 4 * (turn + 1))
        if turn == 1:
            os.killpg(sweep.pid, signal.SIGINT)
            told.ends(sweep, 130)
        else:
            told.kill(sweep, alone=turn == 2)
        assert verify(told.results).findings == []
    told.let()
    out = told.ends(told.start(**clock, CLOCK_SHIFT_S=str(-3 * 3600)))
    assert f"{CONFIGS} of {CONFIGS} succeeded" in out
    assert_at_most_what_was_in_flight_ran_again(told, 3)
    assert len(records(told.results)) == CONFIGS, "one folder a config"
    assert_told_whole(told, monitor)
    began = {record["started_at"][:13] for record in records(told.results)}
    assert len(began) > 1, "the clock has been put back"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "argus-tasks-test", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small tmpfs cannot be mounted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take every byte that is left."""
    with path.open("ab", buffering=0) as handle:
        try:
            while True:
                handle.write(b"\0" * 1024)
        except OSError:
            pass


def test_the_disk_is_full_for_a_whole_sweep_and_at_a_kill(
    monitor: ArgusServer, api_url: str, tmp_path: Path, small_disk: Path
) -> None:
    environment = {"PREFECT_API_URL": api_url, **to_argus(monitor.url, tmp_path)}
    torture = Torture(tmp_path, environment, CONFIGS, results=small_disk / "results", gated=True)
    ballast = small_disk / "ballast"
    sweep = torture.start()
    torture.hold(sweep, 4)
    fill(ballast)
    torture.let()
    out = torture.ends(sweep, 1)
    assert "disk full" in out
    ballast.unlink()

    torture.let(10)
    sweep = torture.start()
    torture.wait(sweep, lambda: torture.succeeded() >= set(range(10)))
    fill(ballast)
    torture.kill(sweep)
    ballast.unlink()
    torture.let()
    torture.ends(torture.start())
    assert_told_whole(torture, monitor)


@pytest.fixture
def stock_server(bench: Bench, cache: Path) -> Iterator[StockServer]:
    """A user's own Prefect server."""
    template = cache / "argus-tasks" / f"prefect-{prefect_version()}-empty.db"
    server = StockServer(bench.root / "stock", bench.environment, template)
    server.start()
    yield server
    server.kill()


def test_prefects_server_goes_and_then_the_sweep(
    monitor: ArgusServer, stock_server: StockServer, tmp_path: Path
) -> None:
    environment = {"PREFECT_API_URL": stock_server.url, **to_argus(monitor.url, tmp_path)}
    torture = Torture(tmp_path, environment, CONFIGS, gated=True)
    sweep = torture.start()
    torture.hold(sweep, 4)
    stock_server.kill()
    torture.hold(sweep, 8)
    torture.kill(sweep)
    torture.let()
    assert verify(torture.results).findings == []

    stock_server.start()
    torture.ends(torture.start())
    assert_at_most_what_was_in_flight_ran_again(torture, 1)
    assert_told_whole(torture, monitor)
    out = torture.command("verify", str(torture.results), "--prefect")
    assert "all is whole" in out
    assert "task runs of 2 sessions" in out


def test_the_monitor_goes_and_comes_back_when_all_is_over(api_url: str, tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as monitor:
        environment = {"PREFECT_API_URL": api_url, **to_argus(monitor.url, tmp_path)}
        torture = Torture(tmp_path, environment, CONFIGS, gated=True)
        sweep = torture.start()
        torture.hold(sweep, 4)
        torture.wait(sweep, lambda: bool(monitor.rows()))
        monitor.kill()
        torture.hold(sweep, 8)
        torture.kill(sweep)
        torture.let()
        known = len(monitor.rows())
        torture.ends(torture.start())
        assert len(monitor.rows()) == known
        monitor.start()
        assert_told_whole(torture, monitor)
        ids = [row["event_id"] for row in monitor.rows()]
        assert len(ids) == len(set(ids)), "each event is stored once"


def test_sigterm_to_a_worker_costs_one_attempt_and_twice_one_run(
    monitor: ArgusServer, api_url: str, tmp_path: Path
) -> None:
    environment = {"PREFECT_API_URL": api_url, **to_argus(monitor.url, tmp_path)}
    torture = Torture(tmp_path, environment, CONFIGS, more=RETRY, gated=True)
    sweep = torture.start()

    def terminate(x: int, number: int) -> None:
        mark = torture.marks / f"{x}-{number}"
        torture.wait(sweep, lambda: mark.exists() and bool(mark.read_text()))
        os.kill(int(mark.read_text()), signal.SIGTERM)

    one, other = CONFIGS - 2, CONFIGS - 1  # the last: nobody else waits for their workers
    torture.hold(sweep, one)
    terminate(one, 1)
    terminate(other, 1)
    terminate(other, 2)
    torture.wait(sweep, (torture.marks / f"{one}-2").exists)
    torture.let()
    out = torture.ends(sweep, 1)
    assert f"{CONFIGS - 1} of {CONFIGS} succeeded" in out
    assert torture.started() == Counter(
        dict.fromkeys(range(CONFIGS), 1) | dict.fromkeys((one, other), 2)
    )
    by_x = {record["config"]["x"]: record for record in records(torture.results)}
    assert (by_x[one]["status"], by_x[one]["attempt"]) == ("succeeded", 2)
    assert (by_x[other]["cause"], by_x[other]["attempt"]) == ("signal SIGTERM", 2)

    torture.ends(torture.start())
    again = [r for r in records(torture.results) if r["config"]["x"] == other]
    assert {r["parent_run_id"] for r in again} == {None, by_x[other]["run_id"]}
    assert_told_whole(torture, monitor)


def test_the_stop_button_and_then_the_same_command(told: Torture, monitor: ArgusServer) -> None:
    sweep = told.start()
    told.hold(sweep, 4)
    told.wait(sweep, lambda: bool(monitor.rows(event_type="batch_start")))
    monitor.press_stop(monitor.rows()[0]["batch_id"], by="alice")
    out = told.ends(sweep, 130)
    assert "run the same command again" in out
    assert verify(told.results).findings == []
    assert monitor.batch(monitor.rows()[0]["batch_id"])["status"] == "failed"
    told.let()
    told.ends(told.start())
    assert_at_most_what_was_in_flight_ran_again(told, 1)
    assert_told_whole(told, monitor)


def test_a_served_flow_run_is_cancelled_and_the_same_command_given_again(
    told: Torture, monitor: ArgusServer, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.environment.items():
        monkeypatch.setenv(name, value)
    configs = [{"marks": str(told.marks), "gate": str(told.gate), "x": x} for x in range(CONFIGS)]
    api = PrefectApi(api_url)

    def run(name: str) -> Any:
        experiment = "experiment=tests.support.experiments:counted"
        words = ("--param", experiment, "--flow-run-name", name)
        done = run_deployment(api_url, told.results, *words, configs=configs)
        assert done.returncode == 0, done.stdout + done.stderr

    def ended(name: str, how: str) -> bool:
        return bool(api.flow_run(name)["state_type"] == how)

    serve = (sys.executable, "-m", "deployments.serve")
    with running(api_url, *serve, log=told.marks.parent / "serve.log"):
        wait_for(lambda: deployed(api), 90)
        run("torture-cancelled")
        told.let(4)
        wait_for(lambda: told.begun() >= 4 + WORKERS, 90)
        flow_run = api.flow_run("torture-cancelled")["id"]
        assert prefect(api_url, "flow-run", "cancel", flow_run).returncode == 0
        wait_for(lambda: ended("torture-cancelled", "CANCELLED"), 90)
        assert {r["status"] for r in records(told.results)} <= {"succeeded", "failed"}
        assert len(told.succeeded()) < CONFIGS
        told.let()
        run("torture-again")
        wait_for(lambda: ended("torture-again", "COMPLETED"), 120)
    assert_at_most_what_was_in_flight_ran_again(told, 1)
    assert_told_whole(told, monitor)
