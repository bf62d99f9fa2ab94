"""What `verify` says of Prefect's server, and that it changes nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from argus_tasks import sweep_flow
from argus_tasks.base.deadline import Deadline
from argus_tasks.orchestration.mirror.checking import MirrorCheck, check_mirrors
from argus_tasks.orchestration.mirror.mirror import Mirror
from argus_tasks.orchestration.mirror.past_task_runs import PastRuns
from argus_tasks.orchestration.mirror.repair import repair_past
from argus_tasks.orchestration.prefect_api.prefect_server import ServerAway
from argus_tasks.runs.ledger.sweep_folder import batches
from tests.support import experiments
from tests.support.prefect_api import PrefectApi, login


@pytest.fixture
def asked(served: str) -> Iterator[str]:
    with temporary_settings({PREFECT_API_URL: served}):
        yield served


def check(root: Path, server: str) -> MirrorCheck:
    (found,) = check_mirrors(root, server)
    return found


def test_each_difference_is_named_and_none_is_changed(asked: str, results_root: Path) -> None:
    kinds = ["ok", "value_error", "skip"]
    sweep_flow(
        [{"kind": kind} for kind in kinds],
        experiments.mixed,
        name="checked",
        results_root=results_root,
    )
    agrees = check(results_root, asked)
    assert (agrees.right, agrees.differences) == (3, [])
    assert list(check_mirrors(results_root, asked, agrees.batch_id)) == [agrees]
    assert not list(check_mirrors(results_root, asked, "another"))
    assert not list(check_mirrors(results_root, "http://another/api"))

    api = PrefectApi(asked)
    ids = {run["name"]: run["id"] for run in api.task_runs(agrees.flow_run, settled=3)}
    httpx.delete(f"{asked}/task_runs/{ids['ok']}", auth=login()).raise_for_status()
    for path, state in (
        (f"/task_runs/{ids['value_error']}/set_state", {"type": "COMPLETED"}),
        (f"/task_runs/{ids['skip']}/set_state", {"type": "RUNNING"}),
        (f"/flow_runs/{agrees.flow_run}/set_state", {"type": "RUNNING"}),
    ):
        api.post(path, {"state": state, "force": True})
    for _ in range(2):  # looking has changed nothing
        assert sorted(check(results_root, asked).differences) == [
            f"flow run {agrees.flow_run} is shown as RUNNING; its session has ended",
            "task run 'ok' is missing; the ledger says Completed",
            "task run 'skip' is shown as Running; the ledger says Skipped",
            "task run 'value_error' is shown as Completed; the ledger says Failed",
        ]
    # this session was settled once: a start does not look at it again, a repair by hand does
    assert repair_past(results_root, asked, deadline_s=30) == []
    (repair,) = repair_past(results_root, asked, deadline_s=30, settled_too=True)
    assert (repair.task_runs, repair.left) == (3, 0)
    assert check(results_root, asked).differences == []


def test_a_flow_run_that_the_server_does_not_know(asked: str, results_root: Path) -> None:
    sweep_flow([{"x": 1}], experiments.noop, name="forgotten", results_root=results_root)
    flow_run = check(results_root, asked).flow_run
    httpx.delete(f"{asked}/flow_runs/{flow_run}", auth=login()).raise_for_status()
    assert check(results_root, asked).differences == [
        f"Prefect's server does not know flow run {flow_run}"
    ]


def test_a_server_that_is_away_is_no_difference(asked: str, results_root: Path) -> None:
    sweep_flow([{"x": 1}], experiments.noop, name="away", results_root=results_root)
    away = {PREFECT_API_URL: "http://127.0.0.1:9/api"}
    with temporary_settings(away), pytest.raises(ServerAway):
        check(results_root, asked)


def test_a_task_run_left_open_is_no_agreement(asked: str, results_root: Path) -> None:
    """As many have ended as were to, and one that nobody knows the end of still runs."""
    sweep_flow([{"x": 1}], experiments.noop, name="open", results_root=results_root)
    flow_run = UUID(check(results_root, asked).flow_run)
    (opened,) = [run for folder in batches(results_root) for run in folder.sessions()]
    expected = PastRuns(results_root).expected(opened["id"])
    mirror = Mirror(flow_run, None)
    try:
        report = mirror.settle(expected, deadline=Deadline(20))
        assert (report.recorded, report.unmirrored, report.left_open) == (1, 0, 0)
        assert report.agrees
        body = {"flow_run_id": str(flow_run), "task_key": "config", "dynamic_key": "other"}
        state = {"type": "RUNNING", "name": "Running"}
        PrefectApi(asked).post("/task_runs/", {**body, "name": "other", "state": state})
        report = mirror.settle(expected, deadline=Deadline(20))
        assert (report.recorded, report.unmirrored, report.left_open) == (1, 0, 1)
        assert not report.agrees
    finally:
        mirror.close()
    # at the next start a session that has not agreed is looked at again
    (folder,) = batches(results_root)
    folder.note_session(opened["id"], flow_run={**opened["flow_run"], "mirrored": False})
    (repair,) = repair_past(results_root, asked, deadline_s=30)
    assert (repair.task_runs, repair.left) == (1, 0)
    assert check(results_root, asked).differences == []
