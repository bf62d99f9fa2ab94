"""The pool of workers by itself: whom it gives an attempt, and whom it starts no more."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.run_record import RunKey
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.messages import Assignment
from argus_tasks.workers.attempts.stop_flag import StopFlag
from argus_tasks.workers.executor import setup_of
from argus_tasks.workers.isolation.death import WorkerDied
from argus_tasks.workers.isolation.pool import WorkerPool
from tests.support.sessions import request_for

LOADED = """
import os
with open({told!r}, "a") as told:
    told.write(os.environ.get("SLOT", "none") + "\\n")
def run(ctx): ...
"""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where each worker writes its slot when it has loaded the experiment."""
    return tmp_path / "told"


@pytest.fixture
def pool(told: Path, tmp_path: Path) -> Iterator[WorkerPool]:
    """A pool of one worker."""
    (tmp_path / "loaded.py").write_text(LOADED.format(told=str(told)))
    request = request_for([{}], f"{tmp_path}/loaded.py:run", tmp_path / "results")
    stop = StopFlag()
    setup = setup_of(request, stop, None)
    pool = WorkerPool(1, setup, {}, limit=TimeLimit(), grace_s=1.0, max_runs=None)
    yield pool
    pool.close()
    stop.close()


def in_slot(slot: str) -> Assignment:
    key = RunKey("r", "/r", "j", "b", None)
    environment = {"SLOT": slot}
    return Assignment(key, {}, RunMetadata(), RetryPolicy(), environment=environment)


def test_a_worker_serves_one_environment_all_its_life(pool: WorkerPool, told: Path) -> None:
    for slot in ("0", "0", "1", "0"):
        pool.run(in_slot(slot), lambda: False)
    assert told.read_text().split() == ["0", "1", "0"]


def test_no_worker_is_started_once_all_are_to_end(pool: WorkerPool, told: Path) -> None:
    pool.end_all(signal.SIGTERM)
    with pytest.raises(WorkerDied, match="stopped"):
        pool.check()
    assert not told.exists()
