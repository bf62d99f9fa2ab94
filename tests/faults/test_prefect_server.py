"""Prefect's server dies under a sweep, or the sweep under its server: in the end they agree.

The sweeps are `argus-tasks run` in processes of their own; what the server holds is read from its
database, what is true from the run folders.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base import locks
from argus_tasks.orchestration.prefect_api.prefect_server import CALL_LIMIT_S
from argus_tasks.server.configuration import prefect_version
from tests.support.flow_scripts import rows
from tests.support.servers import Bench
from tests.support.stock_server import StockServer
from tests.support.sweeps import Sweep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

STATES = "SELECT name, state_name FROM task_run"
OPEN = (
    "SELECT 'flow run', name, state_name FROM flow_run WHERE end_time IS NULL"
    " UNION ALL SELECT 'task run', name, state_name FROM task_run WHERE state_type NOT IN"
    " ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
)


@pytest.fixture
def stock_server(bench: Bench, cache: Path) -> Iterator[StockServer]:
    """A user's own server, not started yet."""
    template = cache / "argus-tasks" / f"prefect-{prefect_version()}-empty.db"
    server = StockServer(bench.root / "stock", bench.environment, template)
    yield server
    server.kill()


def completed(sweep: Sweep) -> list[tuple[Any, ...]]:
    """What the server should show of a sweep whose runs have all succeeded, by their folders."""
    found = sweep.records()
    assert {record["status"] for record in found} == {"succeeded"}
    return sorted((f"x{record['config']['x']}", "Completed") for record in found)


def last_end(sweep: Sweep) -> float:
    """When the last run ended, by the folders."""
    return max(datetime.fromisoformat(r["finished_at"]).timestamp() for r in sweep.records())


def start_again(sweep: Sweep) -> str:
    return sweep.command("run", str(sweep.folder / "sweep.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "sign", "mend"),
    [
        pytest.param(20, signal.SIGKILL, Sweep.repair, id="killed in the middle, repaired by hand"),
        pytest.param(40, signal.SIGTERM, start_again, id="stopped for the last third, next start"),
        pytest.param(60, signal.SIGTERM, Sweep.repair, id="stopped at the end, repaired by hand"),
    ],
)
def test_a_server_that_does_not_come_back_costs_seconds_and_no_run(
    at: int,
    sign: int,
    mend: Callable[[Sweep], str],
    bench: Bench,
    stock_server: StockServer,
    tmp_path: Path,
) -> None:
    stock_server.start()
    environment = {**bench.environment, "PREFECT_API_URL": stock_server.url}
    sweep = Sweep(tmp_path / "gone", environment, n=60, seconds=0.1)
    process = sweep.start()
    sweep.wait_until(lambda: sweep.started() >= at)
    stock_server.kill(sign)
    assert process.stdout is not None
    told = ""
    while " of 60 succeeded" not in told:
        told = process.stdout.readline()
        assert told, process.communicate()
    summary_at = time.time()
    _, errors = process.communicate(timeout=60)
    exited_at = time.time()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "60 of 60 succeeded" in told
    assert "unknown to Prefect" in told
    assert summary_at - last_end(sweep) < 10
    assert exited_at - summary_at < 5

    stock_server.start()
    mend(sweep)
    assert sorted(stock_server.rows(STATES)) == completed(sweep)
    assert stock_server.rows(OPEN) == []


# A quiet machine takes 8 s after a Ctrl-C, 2 s after a second one, and 10 s and an exit at a normal
# end; without a deadline these were 137 s and more.
@pytest.mark.slow
@pytest.mark.parametrize(("interrupts", "within_s"), [(0, 40), (1, 35), (2, 25)])
def test_a_server_that_hangs_holds_nobody_up(
    interrupts: int, within_s: float, bench: Bench, tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path / "hung", bench.environment, n=2, seconds=600 if interrupts else 2)
    process = sweep.start()
    sweep.wait_until(lambda: sweep.started() == 2)
    (server,) = bench.servers()
    os.kill(server, signal.SIGSTOP)
    try:
        for number in range(interrupts):
            time.sleep(0.5 * number)
            stopped_at = time.time()
            process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=170)
        took_s = time.time() - (stopped_at if interrupts else last_end(sweep))
    finally:
        os.kill(server, signal.SIGCONT)
    assert process.returncode == (130 if interrupts else 0), errors
    assert took_s < within_s
    assert "Traceback" not in errors
    if not interrupts:
        assert "2 of 2 succeeded, 2 unknown to Prefect's server" in out
        assert "waiting for Prefect's server, at most" in out, "said while it is waited for"
    sweep.repair()
    assert rows(bench, OPEN) == []
    shown = {"succeeded": "Completed", "failed": "Cancelled"}
    there = sorted((f"x{r['config']['x']}", shown[r["status"]]) for r in sweep.records())
    assert sorted(rows(bench, STATES)) == there


@pytest.mark.slow
def test_a_server_killed_in_mid_sweep_and_started_again(
    bench: Bench, stock_server: StockServer, tmp_path: Path
) -> None:
    stock_server.start()
    environment = {**bench.environment, "PREFECT_API_URL": stock_server.url}
    sweep = Sweep(tmp_path / "back", environment, n=160, seconds=0.25)
    process = sweep.start()
    sweep.wait_until(lambda: sweep.started() >= 20)
    stock_server.kill()
    sweep.wait_until(lambda: sweep.started() >= 30)
    stock_server.start()
    assert process.poll() is None, "this machine is too slow for this test: the sweep has ended"
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "160 of 160 succeeded" in out
    assert "unknown to Prefect" not in out
    assert sorted(stock_server.rows(STATES)) == completed(sweep)
    assert stock_server.rows(OPEN) == []


def test_the_embedded_server_killed_in_mid_sweep(bench: Bench, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "revived", bench.environment, n=40, seconds=0.1)
    process = sweep.start()
    sweep.wait_until(lambda: sweep.started() >= 20)
    (pid,) = bench.servers()
    os.kill(pid, signal.SIGKILL)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "40 of 40 succeeded" in out
    assert "unknown to Prefect" not in out
    assert sorted(rows(bench, STATES)) == completed(sweep)
    assert rows(bench, OPEN) == []
    (other,) = bench.servers()
    os.kill(other, signal.SIGKILL)


@pytest.mark.slow
def test_an_embedded_server_that_takes_long_to_start_is_waited_for(
    bench: Bench, tmp_path: Path
) -> None:
    """As on a busy machine, where the very first start makes a database, too."""
    first = bench.holder(idle_s=0)
    first.told()
    first.told()
    first.end()
    bench.wait_until_gone(20)
    while locks.has_flock(bench.folder() / "database.lock"):
        time.sleep(0.05)  # the last that a process that ends lets go
    still_open = locks.take_flock(bench.folder() / "database.lock")
    sweep = Sweep(tmp_path / "patient", bench.environment, n=2)
    process = sweep.start()
    sweep.wait_until(lambda: len(bench.servers()) == 1)
    time.sleep(CALL_LIMIT_S + 3)
    os.close(still_open)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "2 of 2 succeeded" in out
    bench.wait_until_gone(20)


@pytest.mark.slow
def test_two_shells_and_the_one_that_started_the_server_is_killed(
    bench: Bench, tmp_path: Path
) -> None:
    first = Sweep(tmp_path / "first", bench.environment, n=200, seconds=0.1)
    second = Sweep(tmp_path / "second", bench.environment, n=60, seconds=0.1)
    starter = first.start()
    first.wait_until(lambda: len(bench.servers()) == 1)
    process = second.start()
    first.wait_until(lambda: first.started() >= 20 and second.started() >= 5)
    starter.kill()
    starter.communicate()
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "60 of 60 succeeded" in out
    assert "unknown to Prefect" not in out
    assert bench.wait_until_gone(15) < 15

    # the killed one goes on; what it had left on the server is closed
    out = start_again(first)
    assert "200 of 200 succeeded" in out
    bench.wait_until_gone(15)
    assert rows(bench, OPEN) == []
    by_flow = (
        "SELECT f.name, t.name, t.state_name FROM task_run t JOIN flow_run f"
        " ON f.id = t.flow_run_id"
    )
    shown = [row for row in rows(bench, by_flow) if row[0].startswith("second-")]
    assert sorted(row[1:] for row in shown) == completed(second)
    done = {row[1] for row in rows(bench, by_flow) if row[2] == "Completed"}
    assert done >= {name for name, _ in completed(first)}
