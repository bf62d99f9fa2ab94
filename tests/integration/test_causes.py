"""The label of a death is the same in the folder, in the ledger and in Prefect's task state."""

from __future__ import annotations

import json
from pathlib import Path

from argus_tasks import sweep_flow
from tests.faults import zoo
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records

CAUSES = {
    "segfault": "signal SIGSEGV",
    "kill": "signal SIGKILL",
    "exit_0": "exit 0",
    "sys_exit": "SystemExit",
    "unpicklable_exception": "Unsendable",
    "recursion": "RecursionError",
    "c_sleep": "timeout",
}


def test_everywhere_the_same(served: str, results_root: Path) -> None:
    configs = [{"fault": fault, "x": 0} for fault in CAUSES]
    configs += [{"fault": "fine", "x": x} for x in range(7)]
    summary = sweep_flow(
        configs,
        zoo.act,
        name="causes",
        results_root=results_root,
        mode="dynamic",
        workers=3,
        timeout_s=5,
        stop_grace_s=0.5,
        max_attempts=2,
        retry_on=["exit 0"],
    )
    assert (summary.succeeded, summary.failed) == (7, 7)
    found = {r["config"]["fault"]: r for r in records(results_root) if r["status"] == "failed"}
    assert {fault: record["cause"] for fault, record in found.items()} == CAUSES
    assert {record["attempt"] for fault, record in found.items() if fault == "exit_0"} == {2}
    assert {record["attempt"] for fault, record in found.items() if fault != "exit_0"} == {1}
    (ledger,) = results_root.glob(".sweep/*/ledger.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    said = {line["run_id"]: line["cause"] for line in lines if line["event"] == "ended"}
    for record in found.values():
        assert said[record["run_id"]] == record["cause"]

    api = PrefectApi(served)
    task_runs = api.task_runs(api.flow_run("causes-")["id"], settled=14)
    messages = [run["state"]["message"] for run in task_runs if run["state_type"] == "FAILED"]
    for record in found.values():
        (message,) = [each for each in messages if record["run_id"] in each]
        assert f"{record['cause']}: " in message
