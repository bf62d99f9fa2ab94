"""Every fault costs one run of ten and is named rightly; the nine succeed, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.session.sweep_session import new_session
from tests.faults import zoo
from tests.support.sessions import records, request_for, run_session

NEIGHBOURS = 9

# What becomes of each: None where the run succeeds all the same.
QUICK: dict[str, str | None] = {
    "segfault": "signal SIGSEGV",
    "abort": "signal SIGABRT",
    "kill": "signal SIGKILL",
    "exit_0": "exit 0",
    "exit_9": "exit 9",
    "sys_exit": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "base_exception": "OfItsOwn",
    "unpicklable_result": None,
    "unpicklable_exception": "Unsendable",
    "unshowable_exception": "Unshowable",
    "odd_text": "OddTextError",
    "long_message": "ValueError",
    "recursion": "RecursionError",
    "rlimit": "MemoryError",
    "grandchildren": None,
    "grandchildren_then_segfault": "signal SIGSEGV",
    "fork_that_returns": None,
    "flood": None,
    "large_result": None,
    "endless_thread": None,
    "closed_stdin": None,
    "closed_stdout": None,
    "closed_streams": None,
    "closed_everything": None,
    "removed_folder": None,
}
HANGING = {
    "busy": "timeout",
    "c_sleep": "timeout",
    "c_regex": "timeout",
    "term_ignored": "timeout",
    "grandchildren_then_nothing": "timeout",
}
HOW: dict[str, dict[str, Any]] = {
    "process_pool": {"mode": "process_pool"},
    "fresh": {"mode": "process_pool", "fresh_process": True},
    "dynamic": {"mode": "dynamic"},
    "dask": {"mode": "dask"},
}


def run_zoo(
    faults: dict[str, Any], results_root: Path, mark: str, **options: Any
) -> dict[str, dict[str, Any]]:
    """Each fault with its nine neighbours, all in one sweep; the records of the faults."""
    configs: list[dict[str, Any]] = []
    for fault in faults:
        configs.append({"fault": fault, "x": 0})
        configs += [{"fault": "fine", "x": f"{fault}-{x}"} for x in range(NEIGHBOURS)]
    name, _, value = mark.partition("=")
    session = new_session(request_for(configs, zoo.act, results_root, **options), {name: value})
    summary = run_session(session)
    found = records(results_root)
    assert not [record["run_id"] for record in found if record["status"] == "running"]
    fine = [record for record in found if record["config"]["fault"] == "fine"]
    wrong = [
        (record["config"]["x"], record["cause"], record["error_message"])
        for record in fine
        if record["status"] != "succeeded"
    ]
    assert (len(fine), wrong) == (NEIGHBOURS * len(faults), [])
    folders = {json.loads((r["dir"] / "metrics.json").read_text())["folder"] for r in fine}
    assert folders == {str(Path.cwd())}
    for record in fine:
        lines = (record["dir"] / "run.log").read_text().splitlines()
        printed = [line for line in lines if " - argus_tasks.run." not in line]
        assert printed == ["fine, printed", "fine, echoed"]
    assert summary.failed == sum(cause is not None for cause in faults.values())
    return {r["config"]["fault"]: r for r in found if r["config"]["fault"] != "fine"}


def causes(found: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    return {fault: record["cause"] for fault, record in found.items()}


@pytest.mark.parametrize(
    "how", ["process_pool", "fresh", pytest.param("dynamic", marks=pytest.mark.slow), "dask"]
)
def test_each_costs_one_run(how: str, results_root: Path, mark: str) -> None:
    found = run_zoo(QUICK, results_root, mark, workers=4, **HOW[how])
    assert causes(found) == QUICK
    for fault, record in found.items():
        folder: Path = record["dir"]
        assert (record["status"] == "failed") is (QUICK[fault] is not None)
        assert (folder / "error.log").exists() is (QUICK[fault] is not None)
        assert record["finished_at"] is not None
    segfault = (found["segfault"]["dir"] / "error.log").read_text()
    assert "Fatal Python error: Segmentation fault" in segfault
    assert "in segfault" in segfault
    assert "this sweep did not send" in found["kill"]["error_message"]
    assert len(found["long_message"]["error_message"]) < 20_000
    assert found["odd_text"]["error_message"].endswith("in it")
    assert (found["flood"]["dir"] / "run.log").stat().st_size == 100_000_000
    assert (found["large_result"]["dir"] / "metrics.json").stat().st_size > 100_000_000
    assert json.loads((found["fork_that_returns"]["dir"] / "metrics.json").read_text()) == {
        "child": 0
    }
    assert (found["closed_stdout"]["dir"] / "run.log").read_text() == "said before\n"
    (ledger,) = results_root.glob(".sweep/*/ledger.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    said = {line["run_id"]: line["cause"] for line in lines if line["event"] == "ended"}
    assert said == {record["run_id"]: record["cause"] for record in records(results_root)}


@pytest.mark.parametrize(
    "how",
    ["process_pool", *(pytest.param(how, marks=pytest.mark.slow) for how in ("fresh", "dask"))],
)
def test_each_that_hangs_is_ended(how: str, results_root: Path, mark: str) -> None:
    found = run_zoo(
        HANGING, results_root, mark, workers=5, timeout_s=4, stop_grace_s=0.5, **HOW[how]
    )
    assert causes(found) == HANGING
    for fault in ("busy", "c_sleep", "c_regex"):
        stack = (found[fault]["dir"] / "error.log").read_text()
        assert "ended after its limit of 4 s" in stack
        assert f"in {fault}" in stack
    assert 4.5 <= found["term_ignored"]["duration_sec"] < 60
