"""The embedded server writes by rows what Prefect would have written in one statement."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from argus_tasks.server.configuration import prefect_version
from argus_tasks.server.database import Database
from argus_tasks.server.folder import Folder

ROOT = Path(__file__).parents[3]
FLOW_RUN = UUID(int=1)
BEGUN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def change(
    run: int, state: int, name: str, *, after_s: float, of_run: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An event of a task run's change of state, as the server receives it."""
    facts: dict[str, Any] = {"type": name.upper(), "name": name, "message": f"{name} of ☃ {run}"}
    return {
        "id": str(UUID(int=1000 * run + state)),
        "occurred": (BEGUN + timedelta(seconds=after_s)).isoformat(),
        "received": (BEGUN + timedelta(seconds=after_s + 1)).isoformat(),
        "event": f"prefect.task-run.{name}",
        "resource": {
            "prefect.resource.id": f"prefect.task-run.{UUID(int=100 + run)}",
            "prefect.resource.name": f"run {run}",
            "prefect.orchestration": "client",
        },
        "related": [
            {
                "prefect.resource.id": f"prefect.flow-run.{FLOW_RUN}",
                "prefect.resource.role": "flow-run",
                "prefect.resource.name": "sweep",
            }
        ][: run % 4],
        "payload": {
            "validated_state": {**facts, "data": None, "state_details": {}},
            "task_run": {
                "name": f"run {run}",
                "task_key": "config",
                "dynamic_key": str(run),
                "run_count": state,
                "start_time": (BEGUN.astimezone() + timedelta(seconds=after_s)).isoformat(),
                "total_run_time": 0.25 * state,
                **(of_run or {}),
            },
        },
    }


def batches() -> list[list[dict[str, Any]]]:
    """Runs that begin and end, in one batch and over several; late, twice, uneven, not finite."""
    begun = [change(run, 1, "Running", after_s=run) for run in range(1, 30)]
    ended = [change(run, 2, "Completed", after_s=10 + run) for run in range(1, 20)]
    uneven = [
        change(run, 2, "Failed", after_s=10 + run, of_run={"cache_key": "k", "tags": ["a", "b"]})
        for run in range(20, 25)
    ]
    elsewhere = change(40, 1, "Completed", after_s=1)
    elsewhere["occurred"] = "2026-11-23T14:00:01.5+02:00"
    odd = change(41, 1, "Completed", after_s=1, of_run={"task_inputs": {}, "labels": {"nan": 1.5}})
    odd["payload"]["task_run"]["empirical_policy"] = {"retries": 3, "retry_delay": [1, 2.5]}
    odd["payload"]["loss"] = [math.nan, math.inf, {"of": -math.inf}]
    last = change(42, 1, "Completed", after_s=1)
    late = [change(run, 3, "Running", after_s=0.25) for run in range(1, 10)]
    return [begun[:20], [*begun[20:], *ended], uneven, [elsewhere, odd], late, [*ended[:5], last]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Prefect writes of them and what we do."""
    folder = tmp_path_factory.mktemp("events")
    file = folder / "batches.json"
    file.write_text(json.dumps(batches()))
    empty = Database(Folder(folder), prefect_version())
    empty.folder.home.mkdir()
    empty.prepare()
    both = {}
    for whose in ("prefects", "ours"):
        home = folder / whose
        home.mkdir()
        database = shutil.copyfile(empty.path, home / "prefect.db")
        words = ["tests.support.recorded_rows", str(file), whose, str(database)]
        both[whose] = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.PIPE
        )
    return {whose: json.loads(child.communicate(timeout=120)[0]) for whose, child in both.items()}


def test_every_row_is_what_prefect_writes(written: dict[str, Any]) -> None:
    tables = written["prefects"]["tables"]
    assert len(tables["task_run"]) == 32  # that they agree on nothing would be no news
    assert len(tables["task_run_state"]) == 65
    for name, rows in tables.items():
        assert written["ours"]["tables"][name] == rows, name


def test_a_batch_is_written_wholly_or_not_at_all(written: dict[str, Any]) -> None:
    """Two inserts of events failed at their last row: the tables above hold none of theirs."""
    assert written["ours"]["refused"] == written["prefects"]["refused"] == 2


def test_the_text_is_that_of_one_row(written: dict[str, Any]) -> None:
    assert written["ours"]["most_values"] < 50 < written["prefects"]["most_values"]


def test_an_insert_that_returns_its_rows_returns_all(written: dict[str, Any]) -> None:
    assert written["ours"]["returned"] == written["prefects"]["returned"] == 20
