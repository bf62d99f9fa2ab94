"""Prefect's server agrees with the sweep's ledger in the end, whatever happened to it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.server.configuration import prefect_version
from tests.support.flow_scripts import BEGIN, MIRROR, facts, rows, script
from tests.support.servers import Bench
from tests.support.stock_server import StockServer
from tests.support.sweeps import Sweep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

STATES = "SELECT name, state_name, run_count FROM task_run"
DAMAGE = """
import sqlite3
from argus_tasks.server import control
def damage(*statements):
    with sqlite3.connect(control.status().database, timeout=20) as database:
        for statement in statements: database.execute(statement)
"""


def right(number: int) -> list[tuple[Any, ...]]:
    return sorted((f"run-{n}", "Completed", 1) for n in range(number))


def test_what_the_server_lost_or_left_open_is_put_right_with_its_times(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            seen = []
            @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
            def sweep():
                relay = Relay.install()
                mirror = Mirror(FlowRunContext.get().flow_run.id, relay)
                run_all(60, mirror.admit)
                clean = mirror.settle(ledger, deadline=Deadline(30))
                tell(clean=report_of(clean), flow_run=str(FlowRunContext.get().flow_run.id))
                damage(
                    "DELETE FROM task_run WHERE name IN ('run-3', 'run-4', 'run-5')",
                    "UPDATE task_run SET state_type = 'RUNNING', state_name = 'Running',"
                    " end_time = NULL WHERE name IN ('run-7', 'run-8')",
                    "UPDATE task_run SET state_type = 'FAILED', state_name = 'Failed'"
                    " WHERE name = 'run-9'",
                )
                before = compare_flow_run(FlowRunContext.get().flow_run.id, ledger)
                tell(before=[before.right, len(before.missing), len(before.wrong)])
                count = lambda a, b: seen.append(b)
                mended = mirror.settle(ledger, deadline=Deadline(30), progress=count)
                tell(mended=report_of(mended), progress=len(seen))
                after = compare_flow_run(FlowRunContext.get().flow_run.id, ledger)
                tell(agrees=after.agrees)
                mirror.close()
                relay.uninstall()
            sweep()
            tell(ended={run.name: run.end_time.isoformat() for run in ledger})
            """,
            begin=MIRROR + DAMAGE,
        )
    )
    clean, mended = told["clean"], told["mended"]
    assert (clean["recorded"], clean["made"], clean["mended"]) == (60, 0, 0)
    assert clean["seconds"] < 60
    assert told["before"] == [54, 3, 3]
    assert (mended["recorded"], mended["made"], mended["mended"]) == (54, 3, 3)
    assert mended["unmirrored"] == 0
    assert told["progress"] > 1
    assert told["agrees"]
    bench.wait_until_gone(20)
    assert sorted(rows(bench, STATES)) == right(60)
    made = rows(
        bench,
        "SELECT end_time, message FROM task_run JOIN task_run_state s ON s.id = state_id"
        " WHERE task_run.name = 'run-4'",
    )
    ended = told["ended"]["run-4"].replace("T", " ").removesuffix("+00:00")
    assert made[0][0] == ended, "it keeps the time at which it really ended"
    assert "results/run-4" in made[0][1]
    assert "put right by argus-tasks" in made[0][1]


def test_as_many_have_ended_there_as_here_but_not_the_same(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
            def sweep():
                relay = Relay.install()
                mirror = Mirror(FlowRunContext.get().flow_run.id, relay)
                run_all(10, mirror.admit)
                mirror.settle(ledger, deadline=Deadline(30))
                damage("UPDATE task_run SET state_type = 'FAILED', state_name = 'Failed'"
                       " WHERE name = 'run-9'")
                wrong = mirror.settle(ledger, deadline=Deadline(30))
                damage("UPDATE task_run SET state_type = 'RUNNING', state_name = 'Running'"
                       " WHERE name = 'run-7'")
                others = [run for run in ledger if run.name != "run-7"]
                left = mirror.settle(others, deadline=Deadline(30))
                tell(mended=wrong.mended, recorded=left.recorded, left_open=left.left_open)
                mirror.close()
                relay.uninstall()
            sweep()
            """,
            begin=MIRROR + DAMAGE,
        )
    )
    assert told == {"mended": 1, "recorded": 9, "left_open": 1}


@pytest.mark.slow
def test_server_gone_for_good_the_flow_returns_in_time(bench: Bench) -> None:
    process = script(
        bench,
        """
        from prefect.settings import temporary_settings
        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def sweep():
            relay = Relay.install()
            mirror = Mirror(FlowRunContext.get().flow_run.id, relay)
            run_all(200, mirror.admit,
                    before=lambda n: n == 100 and os.kill(server.pid, signal.SIGKILL))
            tell(runs_ended=time.time(), ran=len(ledger))
            report = mirror.settle(ledger, deadline=Deadline(120))
            tell(**report_of(report))
            if not report.reachable: make_the_last_calls_short(2.0)
            mirror.close()
            relay.uninstall(0 if not report.reachable else 3)
        try:
            with temporary_settings({}):
                sweep()
        except Exception as error:
            tell(raised=type(error).__name__)
        from prefect.settings import PREFECT_CLIENT_MAX_RETRIES
        tell(returned=time.time(), retries=PREFECT_CLIENT_MAX_RETRIES.value())
        """,
        begin=MIRROR,
        stderr=subprocess.DEVNULL,
    )
    told = facts(process)
    exited = time.time()
    assert told["ran"] == 200
    assert told["reachable"] is False
    assert told["unmirrored"] > 0
    assert told["raised"] == "ConnectError"
    assert told["returned"] - told["runs_ended"] < 100
    assert exited - told["returned"] < 60
    assert told["retries"] > 0, "what was made short for one flow is as before after it"


@pytest.mark.slow
def test_server_killed_in_mid_sweep_and_back_is_settled(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            def at(index):
                if index == 500: os.kill(server.pid, signal.SIGKILL)
                if index == 700: server.revive()

            @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
            def sweep():
                relay = Relay.install()
                mirror = Mirror(FlowRunContext.get().flow_run.id, relay)
                run_all(1000, mirror.admit, before=at)
                server.wait_healthy(60)
                tell(**report_of(mirror.settle(ledger, deadline=Deadline(60))))
                mirror.close()
                relay.uninstall()
            sweep()
            """,
            begin=MIRROR,
        )
    )
    assert told["unmirrored"] == 0
    assert told["recorded"] + told["made"] + told["mended"] == 1000
    bench.wait_until_gone(20)
    assert sorted(rows(bench, STATES)) == right(1000)


@pytest.mark.slow
def test_a_killed_flow_process_leaves_nothing_running_after_the_repair(bench: Bench) -> None:
    keeper = bench.holder()
    keeper.told()
    keeper.told()
    killed = script(
        bench,
        """
        @task(cache_policy=NO_CACHE, task_run_name="run-{index}")
        def long(index): time.sleep(60)
        @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
        def sweep():
            relay = Relay.install()
            run_all(30)
            relay.drain(20)
            futures = [long.submit(n) for n in (100, 101)]
            time.sleep(2.5)
            run_all(5)  # these end, and nobody hears of it any more
            run = FlowRunContext.get().flow_run.id
            tell(flow_run=str(run), ledger=[
                [str(r.task_run_id), r.name, r.task_key, r.dynamic_key] for r in ledger])
            os.kill(os.getpid(), signal.SIGKILL)
        sweep()
        """,
        begin=MIRROR,
    )
    out, _ = killed.communicate(timeout=60)
    told = json.loads(out)
    told["ledger"] = [
        [run_id, f"again-{name}" if n >= 30 else name, key, dynamic]
        for n, (run_id, name, key, dynamic) in enumerate(told["ledger"])
    ]
    time.sleep(2)
    repaired = facts(
        script(
            bench,
            f"""
            from uuid import UUID
            now = datetime.now(UTC)
            done = ("COMPLETED", "Completed", "", 1, now, now)
            runs = [ExpectedRun(UUID(i), name, key, dynamic, *done)
                    for i, name, key, dynamic in {told["ledger"]!r}]
            report = repair_flow_run(UUID({told["flow_run"]!r}), runs)
            tell(known=report.known, closed=report.flow_run_closed, crashed=report.task_runs_closed,
                 **report_of(report.settled))
            again = repair_flow_run(UUID({told["flow_run"]!r}), runs)
            tell(again=[again.flow_run_closed, again.task_runs_closed, again.settled.recorded])
            tell(unknown=repair_flow_run(UUID(int=7)).known)
            """,
            begin=MIRROR,
        )
    )
    assert repaired["known"]
    assert repaired["closed"]
    assert repaired["crashed"] == 2
    assert repaired["unmirrored"] == 0
    assert repaired["again"] == [False, 0, 35]
    assert repaired["unknown"] is False
    keeper.end()
    bench.wait_until_gone(20)
    assert rows(bench, "SELECT state_name FROM flow_run") == [("Crashed",)]
    counts = dict(rows(bench, "SELECT state_name, count(*) FROM task_run GROUP BY 1"))
    assert counts == {"Completed": 35, "Crashed": 2}


def test_findings_on_the_embedded_server(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            from argus_tasks.orchestration.prefect_api.server_settings import findings
            from argus_tasks.prefect_compat.event_relay import HOOK
            tell(ours=findings(embedded=True), as_a_team_server=findings(),
                 relay=HOOK.stands_back() is None)
            """,
        )
    )
    assert told["ours"] == []
    assert len(told["as_a_team_server"]) == 1
    assert told["relay"]


@pytest.fixture
def stock_server(bench: Bench, cache: Path) -> Iterator[StockServer]:
    """`prefect server start` as it comes, on an empty database of its own."""
    template = cache / "argus-tasks" / f"prefect-{prefect_version()}-empty.db"
    server = StockServer(bench.root / "stock", bench.environment, template)
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_of_five_thousand_on_a_stock_server(
    bench: Bench, stock_server: StockServer, tmp_path: Path
) -> None:
    environment = {**bench.environment, "PREFECT_API_URL": stock_server.url}
    sweep = Sweep(tmp_path / "thousands", environment, n=5000, experiment="noop")
    out = sweep.command("run", str(sweep.folder / "sweep.yaml"))
    assert "5000 of 5000 succeeded" in out
    assert "unknown to Prefect" not in out
    assert Counter(stock_server.rows(STATES)) == Counter(
        {(f"x{x}", "Completed", 1): 1 for x in range(5000)}
    )
    assert stock_server.rows("SELECT state_name FROM flow_run") == [("Completed",)]
    mended = "SELECT count(*) FROM task_run_state WHERE message LIKE '%put right by argus-tasks%'"
    assert stock_server.rows(mended) == [(0,)], "held back, the server has dropped nothing"


STOCK = """
import os
os.environ["PREFECT_API_URL"] = {url!r}
from argus_tasks.server import embedded
class server: environment = staticmethod(dict)
embedded.hold = lambda **_: server
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_flooded_stock_server_drops_is_put_right(
    bench: Bench, stock_server: StockServer
) -> None:
    """Prefect's own client and nobody held back, as a plain flow does it: the server drops
    hundreds; all are there in the end."""
    process = bench.python(
        STOCK.format(url=stock_server.url)
        + BEGIN
        + MIRROR
        + """
@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def sweep():
    mirror = Mirror(FlowRunContext.get().flow_run.id, None)
    run_all(5000)
    report = mirror.settle(ledger, deadline=Deadline(400))
    tell(flow_run=str(FlowRunContext.get().flow_run.id), **report_of(report))
    mirror.close()
sweep()
"""
    )
    told = facts(process, 500)
    assert told["unmirrored"] == 0
    assert told["made"] > 0, "this machine is too fast for this test: nothing was dropped"
    assert sorted(stock_server.rows(STATES)) == right(5000)
