"""How a sweep ends that somebody or something ends: what its monitor says then, and after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer, Faults
from tests.integration.test_deployments import deployed, prefect, run_deployment, running
from tests.integration.test_stopping import ROOT, marks, wait_for
from tests.support.monitor_rows import assert_reported_well, jobs_reported, kinds
from tests.support.prefect_api import PrefectApi
from tests.support.sessions import records

SWEEP = """
name: {name}
project: p
experiment: tests.support.{experiment}
results_root: {results}
base: {{marks: {marks}, seconds: {seconds}}}
grid:
  x: {x}
execution: {{mode: {mode}, workers: 2, stop_grace_s: {grace_s}}}
"""

# The command line, with a stop button that is looked at more often than every ten seconds.
ASKS_OFTEN = """
import sys
from argus_tasks.reporting import reporter
reporter.STOP_POLL_S = 0.5
from argus_tasks.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def monitor() -> Iterator[ArgusServer]:
    with ArgusServer() as server:
        yield server


class Sweep:
    """A sweep as a process, with a monitor."""

    def __init__(self, tmp_path: Path, api_url: str, monitor: ArgusServer, name: str) -> None:
        self.folder, self.name, self.monitor = tmp_path, name, monitor
        self.results = tmp_path / "results"
        (tmp_path / "marks").mkdir(exist_ok=True)
        self.environment = {
            **os.environ,
            "PREFECT_API_URL": api_url,
            "ARGUS_URL": monitor.url,
            "ARGUS_OUTBOX_DIR": str(tmp_path / "outbox"),
            "ARGUS_TASKS_RAISE": "1",
        }

    def start(
        self,
        *,
        experiment: str = "reporting_experiments:until_stopped",
        mode: str = "process_pool",
        seconds: float = 600,
        x: str = "[0, 1, 2, 3]",
        grace_s: float = 1,
    ) -> subprocess.Popen[str]:
        file = self.folder / "sweep.yaml"
        file.write_text(
            SWEEP.format(
                name=self.name,
                experiment=experiment,
                results=self.results,
                marks=self.folder / "marks",
                seconds=seconds,
                mode=mode,
                x=x,
                grace_s=grace_s,
            )
        )
        return self.command("run", str(file))

    def command(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", ASKS_OFTEN, *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def running(self, count: int) -> None:
        wait_for(lambda: marks(self.folder) == count)

    @property
    def batch_id(self) -> str:
        (batch_id,) = {row["batch_id"] for row in self.monitor.rows()}
        return str(batch_id)


@pytest.fixture
def sweep(
    request: pytest.FixtureRequest, api_url: str, monitor: ArgusServer, tmp_path: Path
) -> Sweep:
    name = request.node.name.replace("[", "-").replace("]", "")
    return Sweep(tmp_path, api_url, monitor, f"t-{abs(hash(name)) % 10**8}")


def ends(process: subprocess.Popen[str], code: int, seconds: float = 90) -> str:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    return out + err


def assert_stopped(sweep: Sweep, by: str, jobs: int = 2) -> None:
    """The batch can be resumed on the monitor, and so can every job that had begun."""
    last = assert_reported_well(sweep.monitor, sweep.batch_id)
    assert {row["data"]["cause"] for row in last.values()} == {f"stopped by {by.split()[0]}"}
    assert all(row["data"]["resumable"] for row in last.values())
    assert len(last) == jobs
    batch = sweep.monitor.batch(sweep.batch_id)
    assert batch["status"] == "failed"
    assert batch["end"]["reason"].startswith(f"stopped by {by}: ")


def test_the_monitors_stop_button(sweep: Sweep, api_url: str) -> None:
    process = sweep.start(grace_s=60)
    sweep.running(2)
    wait_for(lambda: any("stop-requested" in one.route for one in sweep.monitor.receipts))
    pressed = time.time()
    sweep.monitor.press_stop(sweep.batch_id, by="alice")
    ends(process, 130)
    asked = [
        one.at
        for one in sweep.monitor.receipts
        if "stop-requested" in one.route and one.at > pressed
    ]
    assert len(asked) == 1, "the first answer that says so is heard"
    seen = [float(file.read_text()) for file in sweep.results.glob("*/checkpoints/seen")]
    assert len(seen) == 2
    assert min(seen) > pressed
    assert_stopped(sweep, "monitor (alice)")
    flow_run = PrefectApi(api_url).flow_run(f"{sweep.name}-")
    assert flow_run["state_type"] == "CANCELLED"

    again = sweep.start(experiment="experiments:noop")  # the same sweep goes on, and ends well
    assert "4 of 4 succeeded" in ends(again, 0)


@pytest.mark.parametrize(
    ("mode", "sign"),
    [
        ("process_pool", signal.SIGINT),
        pytest.param("process_pool", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("thread", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("sequential", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal(sweep: Sweep, mode: str, sign: signal.Signals) -> None:
    process = sweep.start(experiment="experiments:slow", mode=mode)
    at_once = 1 if mode == "sequential" else 2
    sweep.running(at_once)
    os.killpg(process.pid, sign)
    ends(process, 128 + sign)
    assert_stopped(sweep, "user", at_once)


@pytest.mark.slow
def test_a_second_ctrl_c(sweep: Sweep) -> None:
    process = sweep.start(experiment="experiments:slow")
    sweep.running(2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    ends(process, 130)
    # What was not delivered in that haste waits; whoever reports next sends it.
    ends(sweep.command("outbox", "send"), 0)
    assert_stopped(sweep, "user")


def test_a_cancel_of_a_scripts_flow_run(sweep: Sweep, api_url: str) -> None:
    process = sweep.start()
    sweep.running(2)
    api = PrefectApi(api_url)
    flow_run = api.flow_run(f"{sweep.name}-")
    body = {"state": {"type": "CANCELLING"}}
    api.post(f"/flow_runs/{flow_run['id']}/set_state", body)
    ends(process, 130)
    assert_stopped(sweep, "Prefect")
    assert api.flow_run(f"{sweep.name}-")["state_type"] == "CANCELLED"


def test_a_killed_process_and_its_next_start(sweep: Sweep) -> None:
    sweep.monitor.faults = Faults(status=503, times=3)
    process = sweep.start(x="[0, 1, 2]")
    sweep.running(2)
    wait_for(lambda: len(sweep.monitor.rows(event_type="job_epoch")) > 4)
    process.kill()
    process.communicate()
    first = sweep.batch_id
    assert sweep.monitor.batch(first)["status"] == "running"
    cut = set(jobs_reported(sweep.monitor, first))

    # x=0 is given up, and was cut; the others are taken up, and one more is there.
    again = sweep.start(experiment="reporting_experiments:until_stopped", x="[1, 2, 3]")
    wait_for(lambda: marks(sweep.folder) >= 4)
    os.killpg(again.pid, signal.SIGINT)
    ends(again, 130)
    assert {row["batch_id"] for row in sweep.monitor.rows()} == {first}
    last = assert_reported_well(sweep.monitor, first)
    assert cut == {"x0", "x1"}
    assert last["x0"]["data"]["cause"] == "parent lost"
    assert kinds(jobs_reported(sweep.monitor, first)["x0"]).count("job_start") == 1
    assert kinds(jobs_reported(sweep.monitor, first)["x1"]).count("job_start") == 2
    assert last["x1"]["data"]["cause"] == "stopped by user"
    assert kinds(sweep.monitor.rows(first)).count("batch_start") == 2


@pytest.mark.slow
def test_repair_closes_what_nobody_takes_up(sweep: Sweep) -> None:
    process = sweep.start()
    sweep.running(2)
    wait_for(lambda: len(sweep.monitor.rows(event_type="job_epoch")) > 4)
    process.kill()
    process.communicate()
    repair = ("status", "--results-root", str(sweep.results), "--repair")
    assert "on the monitor: 2 jobs" in ends(sweep.command(*repair), 0)
    last = assert_reported_well(sweep.monitor, sweep.batch_id)
    assert {row["data"]["cause"] for row in last.values()} == {"parent lost"}
    assert all(row["data"]["resumable"] for row in last.values())
    batch = sweep.monitor.batch(sweep.batch_id)
    assert batch["status"] == "failed"
    assert batch["end"]["reason"] == "the process that ran it is gone"
    assert kinds(sweep.monitor.rows(sweep.batch_id)).count("batch_start") == 1
    rows = len(sweep.monitor.rows())
    assert "monitor" not in ends(sweep.command(*repair), 0)
    assert len(sweep.monitor.rows()) == rows


@pytest.mark.slow
def test_a_served_flow_run_is_cancelled_or_killed(sweep: Sweep, api_url: str) -> None:
    """Cancelled, it tells itself, and the runner's hook adds nothing; killed, the hook tells."""
    api = PrefectApi(api_url)
    configs = [{"marks": str(sweep.folder / "marks"), "x": x} for x in range(3)]
    before = dict(os.environ)
    os.environ.update(sweep.environment)
    try:
        serve = (sys.executable, "-m", "deployments.serve")
        with running(api_url, *serve, log=sweep.folder / "serve.log"):
            wait_for(lambda: deployed(api))
            for turn, name in enumerate((f"{sweep.name}-cancelled", f"{sweep.name}-killed")):
                root = sweep.folder / name
                done = run_deployment(
                    api_url,
                    root,
                    "--param",
                    "experiment=tests.support.reporting_experiments:until_stopped",
                    "--flow-run-name",
                    name,
                    configs=configs,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                sweep.running(2)
                flow_run = api.flow_run(name)
                if turn == 0:
                    assert prefect(api_url, "flow-run", "cancel", flow_run["id"]).returncode == 0
                    final = "CANCELLED"
                else:
                    os.kill(_owner(root), signal.SIGKILL)
                    final = "CRASHED"
                wait_for(lambda n=name, f=final: api.flow_run(n)["state_type"] == f)
                wait_for(lambda t=turn: batches(sweep) - seen(sweep, t))
                (batch_id,) = batches(sweep) - seen(sweep, turn)
                wait_for(lambda b=batch_id: sweep.monitor.batch(b)["status"] == "failed")
                last = assert_reported_well(sweep.monitor, batch_id)
                cause = "stopped by Prefect" if turn == 0 else "parent lost"
                assert [row["data"]["cause"] for row in last.values()] == [cause] * 2
                for mark in (sweep.folder / "marks").iterdir():
                    mark.unlink()
    finally:
        os.environ.clear()
        os.environ.update(before)


def batches(sweep: Sweep) -> set[str]:
    return {row["batch_id"] for row in sweep.monitor.rows()}


def seen(sweep: Sweep, turn: int) -> set[str]:
    """The batches of the turns before."""
    return {row["batch_id"] for row in sweep.monitor.rows(event_type="batch_start")[:turn]}


def _owner(root: Path) -> int:
    return int(next(record for record in records(root) if record.get("owner"))["owner"]["pid"])
