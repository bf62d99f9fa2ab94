"""Two containers on one machine: one host name, one boot, but each has pids of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.claims import read_claims, seems_dead
from argus_tasks.runs.ledger.cleaning import RunFilter, removable
from argus_tasks.runs.ledger.other_sessions import Neighbours
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.server.folder import Folder
from argus_tasks.session.config_claims import ConfigClaims
from argus_tasks.session.prepared_sweep import make_plan, prepare
from tests.support.experiments import slow
from tests.support.sessions import request_for
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
IN_IT = """
import sys
from pathlib import Path
from tests.support.experiments import slow
from tests.support.sessions import run_configs
run_configs([{"x": 1, "marks": sys.argv[2]}], slow, Path(sys.argv[1]), mode="sequential")
"""
TELL_A_PID = """
import sys
from pathlib import Path
from os import getpid
from argus_tasks.base.processes import pid_namespace
Path(sys.argv[1]).write_text(f"{getpid()} {pid_namespace(getpid())}")
"""


@pytest.fixture
def container() -> list[str]:
    """The words before a command that is to run in a pid namespace of its own."""
    for words in (CONTAINER, [*CONTAINER, "--user", "--map-root-user"]):
        try:
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
                return words
        except FileNotFoundError:
            break
    pytest.skip("no pid namespace can be made")


@pytest.fixture
def other(
    container: list[str], results_root: Path, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep in another container, in the middle of its only run."""
    marks = tmp_path / "marks"
    marks.mkdir()
    command = [*container, sys.executable, "-c", IN_IT, str(results_root), str(marks)]
    sweep = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        wait_for(lambda: sweep.poll() is not None or bool(list(marks.iterdir())))
        assert sweep.poll() is None
        yield sweep
    finally:
        sweep.kill()
        sweep.wait()


def test_a_live_sweep_of_another_container_is_left_alone_and_a_dead_one_taken_up(
    other: subprocess.Popen[bytes], results_root: Path, tmp_path: Path
) -> None:
    config = {"x": 1, "marks": str(tmp_path / "marks")}
    request = request_for([config], slow, results_root, name="ours")
    (batch,) = batches(results_root)

    def seen() -> dict[str, object]:
        return {
            "claims": [seems_dead(claim) for claim in read_claims(results_root)],
            "session": batch.is_over(batch.sessions()[-1]),
            "to be cleaned": len(removable(results_root, RunFilter(["running"]))),
            "watched": bool(Neighbours(results_root)._watched),
        }

    alive = {"claims": [False], "session": False, "to be cleaned": 0, "watched": True}
    assert seen() == alive
    assert make_plan(request).runs[0].action is not Action.RESUME
    assert taken(request) is None
    assert seen() == alive

    other.kill()
    other.wait()
    wait_for(lambda: batch.is_over(batch.sessions()[-1]))
    assert seen() == {"claims": [True], "session": True, "to be cleaned": 1, "watched": False}
    known = next(iter(results_root.glob("2*"))).name
    assert taken(request) == (Action.RESUME, known)


def taken(request: SweepRequest) -> tuple[Action, str | None] | None:
    """What a session of this request would do with its only config, once it is its own to run."""
    prepared = prepare(request)
    claims = ConfigClaims(prepared, lambda *_: None)
    claims.open()
    run = claims.take(prepared.plan.runs[0])
    claims.close()
    return (run.action, run.run_id) if run is not None else None


def test_the_pid_of_a_server_in_another_container_is_nobody_s_here(
    container: list[str], tmp_path: Path
) -> None:
    """Else `argus-tasks server stop` would end some process of this one."""
    folder = Folder(tmp_path)
    told = folder.alive("one")
    command = [sys.executable, "-c", TELL_A_PID, str(told)]
    subprocess.run([*container, *command], check=True, timeout=60, cwd=ROOT)
    assert folder.pid_of("one") is None
    subprocess.run(command, check=True, timeout=60, cwd=ROOT)
    assert folder.pid_of("one") == int(told.read_text().split()[0])
    told.write_text("4711")  # as an earlier version wrote it
    assert folder.pid_of("one") == 4711
