"""A signal in the middle of our own bookkeeping: folders, ledger, Prefect and monitor agree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer
from tests.support.monitor_rows import assert_reported_well
from tests.support.prefect_api import PrefectApi
from tests.support.processes import heed_signals
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]
CONFIGS = 4
SWEEP = """
name: {name}
project: p
experiment: tests.support.experiments:counted
results_root: {results}
base: {{marks: {marks}, gate: null}}
grid: {{x: [0, 1, 2, 3]}}
execution: {{mode: {mode}, workers: 1}}
"""
# Signals itself once, right after the second call of a function of ours has done its work.
DRIVER = """
import os, sys
from importlib import import_module
number, place, *words = sys.argv[1:]
module, _, path = place.partition(":")
owner = import_module(module)
*classes, name = path.split(".")
for each in classes:
    owner = getattr(owner, each)
whole = getattr(owner, name)
calls = []
def interrupted(*args, **named):
    try:
        return whole(*args, **named)
    finally:
        if named.get("event", "ended") == "ended":
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), int(number))
setattr(owner, name, interrupted)
from argus_tasks.cli.main import main
sys.exit(main(words))
"""
PLACES = (
    "argus_tasks.runs.record.run_record:RunRecord.close",
    "argus_tasks.workers.attempts.attempt:hashes_of",
    "argus_tasks.runs.ledger.sweep_folder:SweepFolder.note",
    "argus_tasks.session.progress:Progress.ended",
    "argus_tasks.monitoring.sweep_monitor:MonitorObserver.ended",
    "argus_tasks.orchestration.mirror.task_run_records:TaskRunRecords.ended",
)
SLOW = [
    pytest.param(sign, place, mode, marks=pytest.mark.slow)
    for place in PLACES
    for sign, mode in (
        (signal.SIGINT, "sequential"),
        (signal.SIGTERM, "sequential"),
        (signal.SIGTERM, "process_pool"),
    )
    if mode == "sequential" or place not in PLACES[:2]
]


@pytest.mark.parametrize(
    ("sign", "place", "mode"), [(signal.SIGINT, PLACES[2], "sequential"), *SLOW]
)
def test_a_success_stays_one_everywhere(
    sign: signal.Signals, place: str, mode: str, api_url: str, tmp_path: Path
) -> None:
    results, marks, file = tmp_path / "results", tmp_path / "marks", tmp_path / "sweep.yaml"
    marks.mkdir()
    name = f"booked-{mode.replace('_', '-')}-{sign.name}-{PLACES.index(place)}-{tmp_path.name[-8:]}"
    file.write_text(SWEEP.format(name=name, results=results, marks=marks, mode=mode))
    with ArgusServer() as monitor:
        environment = os.environ | {
            "PREFECT_API_URL": api_url,
            "ARGUS_URL": monitor.url,
            "ARGUS_OUTBOX_DIR": str(tmp_path / "outbox"),
        }

        def command(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *words],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                start_new_session=True,
                preexec_fn=heed_signals,
            )

        done = command("-c", DRIVER, str(int(sign)), place, "run", str(file))
        assert done.returncode == 128 + sign, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        found = records(results)
        assert {record["status"] for record in found} == {"succeeded"}
        assert len(found) in ({2} if mode == "sequential" else {2, 3})
        flow_run = PrefectApi(api_url).flow_run(name)
        assert flow_run["state_type"] == "CANCELLED"
        runs = PrefectApi(api_url).task_runs(flow_run["id"], settled=len(found))
        shown = Counter(run["state_type"] for run in runs)
        assert shown.pop("COMPLETED") == len(found)
        assert set(shown) <= {"CANCELLED"}, "one that was to be the next, and has not begun"
        assert command("-m", "argus_tasks", "outbox", "send").returncode == 0
        (batch_id,) = {row["batch_id"] for row in monitor.rows()}
        last = assert_reported_well(monitor, batch_id)
        assert [row["event_type"] for row in last.values()] == ["job_done"] * len(found)
        whole = command("-m", "argus_tasks", "verify", str(results))
        assert "all is whole" in whole.stdout, whole.stdout + whole.stderr

        again = command("-m", "argus_tasks", "run", str(file))
        assert f"{CONFIGS} of {CONFIGS} succeeded" in again.stdout, again.stdout + again.stderr
        begun = Counter(path.name.split("-")[0] for path in marks.iterdir())
        assert begun == dict.fromkeys("0123", 1)
