"""How long a person waits at the end: `python -m benchmarks.stopping`.

A sweep of two experiments that do not heed a stop: from a Ctrl-C to when they hear of it and to the
prompt (default grace), from a second Ctrl-C to the prompt (a grace without end), and from a SIGKILL
of the sweep's process to the end of the last of its workers. Timed from outside, on a server that
runs already.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from argus_tasks.base.files import write_json
from benchmarks.figures import Figures, figure
from benchmarks.harness import ROOT, header, in_turns, say, table
from benchmarks.prefect_server import EmbeddedServer, clean_environment

LIMIT_S = 60.0
WORKERS = 2
MARK = "ARGUS_BENCHMARK_MARK"
WAYS = ("Ctrl-C", "a second Ctrl-C", "a kill -9")
SCRIPT = """
import sys
from argus_tasks import sweep_flow
from benchmarks.jobs import stubborn
sweep_flow(
    [{"index": index, "folder": sys.argv[1]} for index in range(2)],
    stubborn,
    results_root=sys.argv[1] + "/results",
    workers=2,
    stop_grace_s=float(sys.argv[2]),
)
"""
Reading = dict[str, float]


def read(way: str, environment: Mapping[str, str]) -> Reading:
    """Stop one sweep in this way: the seconds that it takes. Errors: TimeoutError."""
    with tempfile.TemporaryDirectory(prefix="stopping-") as name:
        folder = Path(name)
        mark = uuid.uuid4().hex
        grace_s = 1000 if way == WAYS[1] else 2
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, name, str(grace_s)],
            env={**environment, MARK: mark},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _until(lambda: len(list(folder.glob("ran-*"))) == WORKERS)
            time.sleep(0.5)
            return _stop(way, process, folder, mark)
        finally:
            for left in marked(mark):
                left.kill()
            process.wait()


def _stop(way: str, process: subprocess.Popen[bytes], folder: Path, mark: str) -> Reading:
    began = time.time()
    if way == WAYS[2]:
        process.kill()
        process.wait()
        _until(lambda: not marked(mark))
        return {"gone_s": time.time() - began}
    process.send_signal(signal.SIGINT)
    _until(lambda: len(list(folder.glob("heard-?"))) == WORKERS)
    heard = [float(path.read_text()) - began for path in folder.glob("heard-?")]
    if way == WAYS[1]:
        began = time.time()
        process.send_signal(signal.SIGINT)
    process.wait(LIMIT_S)
    return {"heard_s": max(heard), "prompt_s": time.time() - began}


def marked(mark: str) -> list[psutil.Process]:
    """The processes that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _until(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LIMIT_S:.0f} s")
        time.sleep(0.01)


def measure(rounds: int, limit_s: float | None = None) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes."""
    result = header("stopping", {"rounds": rounds, "limit_s": limit_s}, ())
    readings: dict[str, list[Reading]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="stopping-") as name,
        EmbeddedServer(Path(name) / "server") as server,
    ):
        environment = {**clean_environment(Path(name)), **server.environment(ours=True)}
        for turn, way in in_turns(WAYS, rounds, limit_s):
            reading = read(way, environment)
            if turn:
                readings.setdefault(way, []).append(reading)
                say(f"{turn}/{rounds} {way}: {reading}")
    result["readings"] = readings
    result["figures"] = stopping_figures(readings)
    return result


def stopping_figures(readings: Mapping[str, Sequence[Reading]]) -> Figures:
    """`stopping.heard`, `.once`, `.twice` and `.killed`, in seconds."""
    once, twice, killed = (readings[way] for way in WAYS)
    return {
        "stopping.heard": figure((each["heard_s"] for each in once), "s"),
        "stopping.once": figure((each["prompt_s"] for each in once), "s"),
        "stopping.twice": figure((each["prompt_s"] for each in twice), "s"),
        "stopping.killed": figure((each["gone_s"] for each in killed), "s"),
    }


def main(argv: list[str] | None = None) -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    result = measure(args.rounds)
    lines = [
        [name.partition(".")[2], f"{each['median']:.2f} s", f"{each['max']:.2f} s"]
        for name, each in result["figures"].items()
    ]
    print(table(("what", "median", "longest"), lines))
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
