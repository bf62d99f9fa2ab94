"""One contestant of the overhead benchmark, run once: its figures."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Contestant, ContestantFailed
from benchmarks.prefect_server import PrefectServer, clean_environment


@dataclass(frozen=True)
class Entry:
    """A contestant: how it is set, and how many of the n configs it gets."""

    name: str  # a key of benchmarks.contestants.CONTESTANTS
    settings: str  # in words, for people who want to repeat it
    environment: Mapping[str, str] = field(default_factory=dict)
    share: int = 1  # gets n / share configs: for what is so slow that n would take minutes
    python: str = sys.executable  # its interpreter: what is heavy has an environment of its own
    under: tuple[str, ...] = ()  # a command that runs it, and watches


@dataclass(frozen=True)
class Task:
    """What all contestants are to do."""

    n: int
    workers: int
    job: str = "noop"  # a key of benchmarks.jobs.JOBS
    seconds: float = 0.0  # of each job


def one_round(entry: Entry, task: Task, server: PrefectServer, place: Path) -> dict[str, Any]:
    """Run one contestant once. Returns its figures, or `{"missing": why}`.

    Its files are left in a new folder in `place`, to be deleted when the benchmark is over: ext4
    without a journal passes over what was deleted in the last minutes, one by one, whenever a file
    is made, which the next contestant would pay for.

    Where the server never got to know of all task runs, `caught_up_ms` is None.
    Errors: ContestantFailed.
    """
    n = max(10, task.n // entry.share)
    server.wait_until_quiet()
    folder = Path(tempfile.mkdtemp(prefix="round-", dir=place))
    root = folder / "results"
    words = ["--n", str(n), "--workers", str(task.workers), "--results-root", str(root)]
    words += ["--job", task.job, "--seconds", str(task.seconds)]
    command = [*entry.under, entry.python, "-m", "benchmarks.contestants", entry.name, *words]
    environment = {
        **clean_environment(folder),
        **entry.environment,
        **server.environment(ours=entry.name == "ours"),
    }
    server_before = server.cpu_s()
    timeout_s = max(180, (0.5 + 4 * task.seconds) * n)
    with Contestant(command, environment, timeout_s) as contestant:
        told = contestant.told()
        if "missing" in told:
            return {"missing": told["missing"]}
        recorded, caught_up_at = told["task_runs"], told["returned_at"]
        if told["task_runs"]:
            recorded, caught_up_at = _catch_up(server, contestant.spawned_at, told["task_runs"])
        finished = contestant.finished()
    server.wait_until_quiet()
    work_ended_at = told["work_ended_at"] or _last_end(root)
    started_at = told["started_at"]

    def per_config(seconds: float) -> float:
        return round(1000 * seconds / n, 4)

    complete = recorded == told["task_runs"]
    rest_cpu_s = finished.cpu_s - told["cpu_at_start_s"] - told["flow_cpu_s"]
    server_cpu_s = server.cpu_s() - server_before if told["task_runs"] else 0.0

    return {
        "n": n,
        "succeeded": told["succeeded"],
        "task_runs": told["task_runs"],
        "recorded": recorded,
        "work_ms": per_config(work_ended_at - started_at),
        "return_ms": per_config(told["returned_at"] - started_at),
        "caught_up_ms": per_config(caught_up_at - started_at) if complete else None,
        "exit_ms": per_config(finished.exited_at - started_at),
        "flow_cpu_ms": per_config(told["flow_cpu_s"]),
        "rest_cpu_ms": per_config(rest_cpu_s),
        "server_cpu_ms": per_config(server_cpu_s),
        "cpu_ms": per_config(told["flow_cpu_s"] + rest_cpu_s + server_cpu_s),
        "peak_mb": round(told["peak_mb"], 1),
        "waited_s": round(told["waited_s"], 3),
        "before_start_s": round(started_at - finished.spawned_at, 3),
    }


def _catch_up(server: PrefectServer, since: float, expected: int) -> tuple[int, float]:
    """Wait until the server has recorded what it was sent: how many, and when that was seen.

    A server that has dropped something never gets there: nothing new for 15 s ends the waiting.
    """
    known, moved = -1, time.monotonic()
    flow_runs: list[str] = []
    while time.monotonic() - moved < 15:
        flow_runs = flow_runs or server.flow_runs_since(since)
        recorded = server.recorded(flow_runs)
        if recorded >= expected:
            return recorded, time.time()
        if recorded > known:
            known, moved = recorded, time.monotonic()
        time.sleep(0.2)
    return known, time.time()


def _last_end(root: Path) -> float:
    """When the last run under the results root ended, by its own run.json."""
    ends = []
    for path in root.glob("*/run.json"):
        record = json.loads(path.read_bytes())
        if record["status"] == "succeeded":
            ends.append(datetime.fromisoformat(record["finished_at"]).timestamp())
    if not ends:
        raise ContestantFailed("no run folder says succeeded")
    return max(ends)
