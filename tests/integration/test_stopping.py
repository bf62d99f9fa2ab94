"""Ctrl-C and SIGTERM: everything stops in time, nothing claims success, the next start goes on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import marked_processes
from tests.support.prefect_api import PrefectApi
from tests.support.processes import heed_signals
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]

SWEEP = """
name: {name}
experiment: {experiment}:slow
results_root: {results}
base: {{marks: {marks}, seconds: {seconds}, swallows: {swallows}}}
grid:
  x: [0, 1, 2, 3, 4, 5]
execution: {{mode: {mode}, workers: 2, stop_grace_s: {grace_s}}}
"""
# After this the process must have gone; a quiet machine takes two to four seconds (decision 23
# says at most eight), a busy one may take longer.
GONE_S = 60.0


def write(
    tmp_path: Path,
    *,
    mode: str,
    name: str,
    seconds: float = 600,
    grace_s: float = 2,
    swallows: bool = False,
    loads_long: bool = False,
) -> Path:
    """The sweep file."""
    (tmp_path / "marks").mkdir(exist_ok=True)
    file = tmp_path / "sweep.yaml"
    file.write_text(
        SWEEP.format(
            name=name,
            results=tmp_path / "results",
            marks=tmp_path / "marks",
            seconds=seconds,
            mode=mode,
            grace_s=grace_s,
            swallows="true" if swallows else "false",
            experiment="tests.support.loads_long" if loads_long else "tests.support.experiments",
        )
    )
    return file


def start(tmp_path: Path, api_url: str | None, **sweep: Any) -> subprocess.Popen[str]:
    file = write(tmp_path, **sweep)
    env = dict(os.environ) | ({"PREFECT_API_URL": api_url} if api_url else {})
    env |= {"LOADING_MARK": str(tmp_path / "marks" / "loading")}
    # A process of its own group, as a shell would make it: SIGINT is not ignored there.
    return subprocess.Popen(
        [sys.executable, "-m", "argus_tasks", "run", str(file)],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def marks(tmp_path: Path) -> int:
    return len(list((tmp_path / "marks").iterdir()))


@pytest.mark.parametrize(
    ("mode", "sign", "at_once"),
    [
        ("process_pool", signal.SIGINT, 2),
        pytest.param("thread", signal.SIGINT, 2, marks=pytest.mark.slow),
        ("sequential", signal.SIGINT, 1),
        ("process_pool", signal.SIGTERM, 2),
        pytest.param("process_pool", signal.SIGHUP, 2, marks=pytest.mark.slow),
        pytest.param("sequential", signal.SIGTERM, 1, marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_everything(
    mode: str, sign: signal.Signals, at_once: int, api_url: str, tmp_path: Path
) -> None:
    name = f"stopped-{mode.replace('_', '-')}-{sign.name}"
    before = set(marked_processes())
    sweep = start(tmp_path, api_url, mode=mode, name=name)
    wait_for(lambda: marks(tmp_path) == at_once)
    os.killpg(sweep.pid, sign)
    out, err = sweep.communicate(timeout=GONE_S)
    assert sweep.returncode == 128 + sign, err
    assert "run the same command again" in out
    assert "Traceback" not in out + err
    cut = records(tmp_path / "results")
    assert [(r["status"], r["cause"], r["resumable"]) for r in cut] == [
        ("failed", "stopped by user", True)
    ] * at_once
    assert not set(marked_processes()) - before
    flow_run = PrefectApi(api_url).flow_run(f"{name}-")
    assert flow_run["state_type"] == "CANCELLED"
    assert flow_run["state"]["message"].startswith("stopped by user")

    again = start(tmp_path, api_url, mode=mode, name=name)
    wait_for(lambda: marks(tmp_path) == 2 * at_once)
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=GONE_S)
    found = records(tmp_path / "results")
    assert max(record["attempt"] for record in found) == 2
    assert len({record["config"]["x"] for record in found}) == len(found), "one folder a config"


def test_a_second_ctrl_c_takes_away_the_grace(api_url: str, tmp_path: Path) -> None:
    """The grace is longer than anybody waits, so only its loss ends the sweep."""
    sweep = start(tmp_path, api_url, mode="process_pool", name="hurried", grace_s=500)
    wait_for(lambda: marks(tmp_path) == 2)
    sweep.send_signal(signal.SIGINT)
    time.sleep(1)
    assert sweep.poll() is None, "the first Ctrl-C leaves the grace"
    sweep.send_signal(signal.SIGINT)
    sweep.communicate(timeout=GONE_S)
    assert sweep.returncode == 130
    assert {r["status"] for r in records(tmp_path / "results")} == {"failed"}


def test_without_a_server_one_is_started_and_goes_again(tmp_path: Path) -> None:
    sweep = start(tmp_path, None, mode="process_pool", name="embedded", seconds=0)
    out, err = sweep.communicate(timeout=90)
    assert sweep.returncode == 0, err
    assert "6 of 6 succeeded" in out
    assert "UI: http://127.0.0.1:" in out


def test_an_experiment_that_swallows_the_interrupt_keeps_nobody(
    api_url: str, tmp_path: Path
) -> None:
    """Mode sequential has no worker to end: when the deadline is over, the process leaves."""
    sweep = start(tmp_path, api_url, mode="sequential", name="stubborn", swallows=True)
    wait_for(lambda: marks(tmp_path) == 1)
    sweep.send_signal(signal.SIGINT)
    wait_for((tmp_path / "marks" / "swallowed").exists)
    assert sweep.poll() is None
    sweep.send_signal(signal.SIGINT)
    out, err = sweep.communicate(timeout=GONE_S)
    assert sweep.returncode == 130, err
    assert "something hangs" in out
    assert "Traceback" not in out + err


@pytest.mark.slow
def test_a_ctrl_c_while_the_experiment_loads(api_url: str, tmp_path: Path) -> None:
    """Nothing has been written then, and nothing is waited for."""
    sweep = start(tmp_path, api_url, mode="process_pool", name="loading", loads_long=True)
    wait_for((tmp_path / "marks" / "loading").exists)
    sweep.send_signal(signal.SIGINT)
    out, err = sweep.communicate(timeout=GONE_S)
    assert sweep.returncode == 130, err
    assert "Traceback" not in out + err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_terminal_that_closes_stops_everything(api_url: str, tmp_path: Path) -> None:
    file = write(tmp_path, mode="process_pool", name="closed")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        words = [sys.executable, "-m", "argus_tasks", "run", str(file)]
        os.execve(sys.executable, words, dict(os.environ) | {"PREFECT_API_URL": api_url})
    reader = threading.Thread(target=_read_all, args=(terminal,), daemon=True)
    reader.start()
    wait_for(lambda: marks(tmp_path) == 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), terminal)  # the only one that held it open
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    cut = records(tmp_path / "results")
    assert {(r["status"], r["cause"]) for r in cut} == {("failed", "stopped by user")}


def _read_all(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 65536):
            pass
