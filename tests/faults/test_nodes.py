"""Nodes of a dask cluster that die or are not as they should be, and sweeps that leave them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support.dask_cluster import dask_cluster
from tests.support.processes import processes_with, wait_gone
from tests.support.sessions import records, request_for, run_configs, run_session
from tests.support.waiting import wait_for

GONE_S = 30.0  # five on a quiet machine


def node_of_this_run() -> int:
    """The dask worker above this process: its keeper's parent."""
    keeper = Path(f"/proc/{os.getppid()}/stat").read_text()
    return int(keeper.rpartition(")")[2].split()[1])


def fells_its_node(ctx: Any) -> dict[str, Any]:
    """Kills the dask worker below which it runs, as often as the config says."""
    mark = Path(ctx.config["marks"], f"{ctx.config['x']}-{ctx.attempt}")
    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    if ctx.attempt <= ctx.config.get("fells", 0):
        os.kill(node_of_this_run(), signal.SIGKILL)
        time.sleep(60)
    return {"attempt": ctx.attempt}


def naps(ctx: Any) -> dict[str, Any]:
    """Says where it is, then sleeps; where the config says so, until it is told to stop."""
    Path(ctx.config["marks"], str(ctx.config["x"])).write_text(str(os.getpid()))
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and not (ctx.config["heeds"] and ctx.stopped):
        time.sleep(0.02)
    return {"stopped": ctx.stopped}


def causes_of(results_root: Path, run_id: str) -> list[tuple[int, str | None]]:
    (ledger,) = results_root.glob(".sweep/*/ledger.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    return [
        (line["attempt"], line["cause"])
        for line in lines
        if line["run_id"] == run_id and line["event"] == "ended"
    ]


def configs_for(tmp_path: Path, *each: dict[str, Any]) -> list[dict[str, Any]]:
    marks = tmp_path / "marks"
    marks.mkdir()
    return [{"marks": str(marks), "x": x, **config} for x, config in enumerate(each)]


@pytest.mark.slow
def test_a_node_that_dies_costs_its_runs_one_retry(results_root: Path, tmp_path: Path) -> None:
    configs = configs_for(tmp_path, {"fells": 1}, {"fells": 9}, *[{}] * 6)
    summary = run_session(
        new_session(request_for(configs, fells_its_node, results_root, mode="dask", workers=2))
    )
    first, second, *others = records(results_root)
    assert (first["status"], first["attempt"]) == ("succeeded", 2)
    assert (second["status"], second["attempt"], second["cause"]) == ("failed", 2, "node lost")
    assert "the node that was running it is gone" in second["error_message"]
    assert causes_of(results_root, first["run_id"]) == [(1, "node lost"), (2, None)]
    assert {record["status"] for record in others} == {"succeeded"}
    assert (summary.succeeded, summary.failed) == (7, 1)
    assert not list(results_root.glob("*/.claim-*"))


@pytest.mark.slow
def test_what_the_engine_sends_again_is_not_run_twice(results_root: Path, tmp_path: Path) -> None:
    configs = configs_for(tmp_path, {"fells": 1}, *[{}] * 3)
    with dask_cluster(tmp_path) as address:  # dask's own setting: three more chances
        summary = run_session(
            new_session(
                request_for(
                    configs,
                    fells_its_node,
                    results_root,
                    mode="dask",
                    address=address,
                    workers=2,
                    not_on=["node lost"],
                )
            )
        )
    record, *others = records(results_root)
    assert (record["status"], record["attempt"], record["cause"]) == ("failed", 1, "node lost")
    assert [path.name for path in (tmp_path / "marks").glob("0-*")] == ["0-1"]
    assert {other["status"] for other in others} == {"succeeded"}
    assert summary.failed == 1


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_named_and_the_next_start_goes_on(
    results_root: Path, tmp_path: Path
) -> None:
    configs = configs_for(tmp_path, *[{"heeds": False}] * 3)
    marks = tmp_path / "marks"

    def session(address: str) -> SweepSession:
        return new_session(
            request_for(configs, naps, results_root, mode="dask", address=address, workers=2)
        )

    with dask_cluster(tmp_path) as address:
        lost = session(address)
        runner = threading.Thread(target=run_session, args=(lost,))
        runner.start()
        wait_for(lambda: len([m for m in marks.iterdir() if m.read_text()]) == 2)
        (scheduler,) = [
            pid
            for pid, command in processes_with(str(tmp_path)).items()
            if " scheduler --port" in command
        ]
        os.kill(scheduler, signal.SIGKILL)
        runner.join(120)
        assert not runner.is_alive()
    assert (lost.summary().failed, lost.summary().succeeded) == (3, 0)
    found = records(results_root)
    assert {(record["status"], record["cause"]) for record in found} == {("failed", "node lost")}
    assert any("no dask scheduler answers there" in record["error_message"] for record in found)

    (tmp_path / "again").mkdir()
    with dask_cluster(tmp_path / "again") as address:
        again = session(address)
        assert len(again.plan.to_do) == 3
        runner = threading.Thread(target=run_session, args=(again,))
        runner.start()
        wait_for(lambda: sum(r["status"] == "running" for r in records(results_root)) == 2)
        again.stops.stop("user")
        again.end_workers(now=True)
        runner.join(120)
        assert not runner.is_alive()
    assert again.summary().stopped == 2


SCRIPT = """
import sys
from pathlib import Path
from tests.faults.test_nodes import naps
from tests.support.sessions import request_for, run_session
from argus_tasks.session.sweep_session import SweepSession, new_session
marks, root, address = sys.argv[1:]
configs = [{"marks": marks, "x": x, "heeds": False} for x in range(2)]
run_session(new_session(
    request_for(configs, naps, Path(root), mode="dask", address=address or None)
))
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["of its own", "of others"])
def test_a_killed_sweep_leaves_no_run_on_a_cluster(
    where: str, results_root: Path, tmp_path: Path, mark: str
) -> None:
    configs_for(tmp_path)
    marks = tmp_path / "marks"
    name, _, value = mark.partition("=")

    def killed(address: str) -> None:
        sweep = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(marks), str(results_root), address],
            env={**os.environ, name: value},
        )
        try:
            wait_for(lambda: len([m for m in marks.iterdir() if m.read_text()]) == 2, 60)
        finally:
            sweep.kill()
            sweep.wait()

    def gone() -> bool:
        pids = [int(each.read_text()) for each in marks.iterdir()]
        return not any(Path(f"/proc/{pid}/stat").exists() for pid in pids)

    if where == "of its own":
        killed("")
        wait_gone(mark, seconds=GONE_S)
    else:
        with dask_cluster(tmp_path) as address:
            killed(address)
            wait_for(gone, GONE_S)
            kept = [each for each in processes_with(str(tmp_path)).values() if "keeper" in each]
            assert not kept
    assert [record["status"] for record in records(results_root)] == ["running"] * 2


def test_a_stop_reaches_the_nodes(results_root: Path, tmp_path: Path, mark: str) -> None:
    configs = configs_for(tmp_path, {"heeds": True}, {"heeds": False}, {"heeds": True})
    marks = tmp_path / "marks"
    name, _, value = mark.partition("=")
    request = request_for(configs, naps, results_root, mode="dask")
    session = new_session(request, {name: value})
    runner = threading.Thread(target=run_session, args=(session,))
    runner.start()
    wait_for(lambda: len([m for m in marks.iterdir() if m.read_text()]) == 2, 60)
    session.stops.stop("user")
    try:
        wait_for(lambda: records(results_root)[-1]["status"] != "running", 60)
    finally:
        session.end_workers(now=False)
        runner.join(60)
    assert not runner.is_alive()
    found = records(results_root)
    assert [record["cause"] for record in found] == ["stopped by user"] * 2
    assert [record["resumable"] for record in found] == [True] * 2
    assert session.summary().not_started == 1


@pytest.mark.slow
def test_a_results_root_of_the_nodes_own_is_one_sentence(
    results_root: Path, tmp_path: Path
) -> None:
    private = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {results_root} && exec "$@"', "-"]
    results_root.mkdir()
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted")
    configs = configs_for(tmp_path, {})
    with dask_cluster(tmp_path, workers=1, before_worker=private) as address:
        request = request_for(configs, naps, results_root, mode="dask", address=address)
        session = new_session(request)
        with pytest.raises(BadInput, match=r"results_root is not shared: what .* writes to") as it:
            session.check()
        session.close()
    assert str(results_root) in str(it.value)
    assert not list(results_root.iterdir())


def test_an_experiment_that_the_nodes_cannot_load_is_one_sentence(
    results_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken_experiment.py").write_text("import no_such_library\n")
    path = f"{tmp_path}/broken_experiment.py:run"
    session = new_session(request_for([{}], path, results_root, mode="dask"))
    with pytest.raises(BadInput, match="cannot be loaded: ModuleNotFoundError"):
        session.check()
    session.close()
    assert not results_root.exists()


@pytest.mark.slow
def test_an_address_where_nobody_answers_is_one_sentence(results_root: Path) -> None:
    request = request_for([{}], naps, results_root, mode="dask", address="tcp://127.0.0.1:9")
    session = new_session(request)
    with pytest.raises(BadInput, match=r"address is 'tcp://127.0.0.1:9', but no dask scheduler"):
        session.check()
    session.close()
    assert not results_root.exists()


def mode_of_the_setup(ctx: Any) -> dict[str, Any]:
    (setup,) = Path(ctx.run_dir).parent.glob(".sweep/nodes-*")
    return {"mode": setup.stat().st_mode & 0o777}


def test_what_the_nodes_unpickle_is_for_their_user_alone(results_root: Path) -> None:
    before = os.umask(0)
    try:
        run_configs([{"x": 1}], mode_of_the_setup, results_root, mode="dask", workers=1)
    finally:
        os.umask(before)
    (record,) = records(results_root)
    assert json.loads((record["dir"] / "metrics.json").read_text()) == {"mode": 0o600}
