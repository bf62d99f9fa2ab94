"""A whole sweep on a dask cluster: Prefect's task runs, the monitor's rows and the folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks import sweep_flow
from tests.argus_server import ArgusServer
from tests.faults.test_nodes import configs_for, fells_its_node
from tests.support import reporting_experiments
from tests.support.delivery import epochs_of
from tests.support.monitor_rows import assert_reported_well, jobs_reported
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArgusServer]:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    with ArgusServer() as server:
        monkeypatch.setenv("ARGUS_URL", server.url)
        yield server


def test_the_nodes_events_reach_the_monitor(
    served: str, monitor: ArgusServer, results_root: Path
) -> None:
    kinds = {"well": "job_done", "skip": "job_done", "fail": "job_failed", "kill": "job_failed"}
    summary = sweep_flow(
        [{"kind": kind} for kind in kinds],
        reporting_experiments.train,
        results_root=results_root,
        name="nodes",
        mode="dask",
        workers=2,
    )
    assert (summary.succeeded, summary.skipped, summary.failed) == (1, 1, 2)
    (batch_id,) = {row["batch_id"] for row in monitor.rows()}
    last = assert_reported_well(monitor, batch_id)
    assert {name.rpartition("-")[2]: row["event_type"] for name, row in last.items()} == kinds
    for rows in jobs_reported(monitor, batch_id).values():
        assert epochs_of(rows) == list(range(reporting_experiments.EPOCHS))


def test_a_node_that_dies_is_a_retry_of_prefects(
    served: str, results_root: Path, tmp_path: Path
) -> None:
    summary = sweep_flow(
        configs_for(tmp_path, {"fells": 1}, {}, {}),
        fells_its_node,
        results_root=results_root,
        name="felled",
        mode="dask",
        workers=2,
    )
    assert summary.succeeded == 3
    assert [record["attempt"] for record in records(results_root)] == [2, 1, 1]
    api = PrefectApi(served)
    runs = api.task_runs(api.flow_run("felled-")["id"], settled=3)
    assert sorted(run["run_count"] for run in runs) == [1, 1, 2]
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
