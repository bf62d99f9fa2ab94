"""Mode ray, where Ray is installed: `make test-integrations` has an environment with it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from argus_tasks.session.sweep_session import new_session
from tests.faults.test_nodes import SCRIPT, causes_of, configs_for, fells_its_node, naps
from tests.faults.test_zoo import QUICK, causes, run_zoo
from tests.support.processes import wait_gone
from tests.support.sessions import records, request_for, run_session
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="ray is not installed (make test-integrations has it)",
    ),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*", "ignore::ResourceWarning"),
]
FEW = ("segfault", "kill", "exit_0", "sys_exit", "rlimit", "grandchildren_then_segfault")
GONE_S = 10.0


def test_each_fault_costs_one_run(results_root: Path, mark: str) -> None:
    few = {fault: QUICK[fault] for fault in FEW}
    assert causes(run_zoo(few, results_root, mark, workers=3, mode="ray")) == few


def test_a_node_that_dies_costs_its_runs_one_retry(results_root: Path, tmp_path: Path) -> None:
    configs = configs_for(tmp_path, {"fells": 1}, {"fells": 9}, *[{}] * 4)
    summary = run_session(
        new_session(request_for(configs, fells_its_node, results_root, mode="ray"))
    )
    first, second, *others = records(results_root)
    assert (first["status"], first["attempt"]) == ("succeeded", 2)
    assert (second["status"], second["attempt"], second["cause"]) == ("failed", 2, "node lost")
    assert causes_of(results_root, first["run_id"]) == [(1, "node lost"), (2, None)]
    assert {record["status"] for record in others} == {"succeeded"}
    assert (summary.succeeded, summary.failed) == (5, 1)


def test_a_stop_and_a_time_limit_reach_the_nodes(
    results_root: Path, tmp_path: Path, mark: str
) -> None:
    configs = configs_for(tmp_path, {"heeds": True}, {"heeds": False})
    marks = tmp_path / "marks"
    name, _, value = mark.partition("=")
    session = new_session(
        request_for(configs, naps, results_root, mode="ray", timeout_s=6, stop_grace_s=0.5),
        {name: value},
    )
    runner = threading.Thread(target=run_session, args=(session,))
    runner.start()
    try:
        wait_for(lambda: len([m for m in marks.iterdir() if m.read_text()]) == 2, 60)
        told_at = time.monotonic()
        session.stops.stop("user")
        wait_for(lambda: records(results_root)[-1]["status"] != "running", 5)
        assert time.monotonic() - told_at < 1.5
    finally:
        runner.join(60)
    assert {record["cause"] for record in records(results_root)} == {"stopped by user", "timeout"}


def test_a_killed_sweep_leaves_nothing(results_root: Path, tmp_path: Path, mark: str) -> None:
    configs_for(tmp_path)
    marks = tmp_path / "marks"
    name, _, value = mark.partition("=")
    script = SCRIPT.replace('mode="dask"', 'mode="ray"')
    sweep = subprocess.Popen(
        [sys.executable, "-c", script, str(marks), str(results_root), ""],
        env={**os.environ, name: value},
    )
    try:
        wait_for(lambda: len([m for m in marks.iterdir() if m.read_text()]) == 2, 60)
    finally:
        sweep.kill()
        sweep.wait()
    wait_gone(mark, seconds=GONE_S)
