"""What reporting costs: argus-reporter and argus-tasks in turn, in one run, on the same server.

`python -m benchmarks.emit` prints a table. Each reading is a fresh process; the two SDKs take
turns, so that the machine's moods hit both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.figures import Figures, figure, ratio_figure
from benchmarks.harness import ROOT, header, in_turns, say

SDKS = ("argus-reporter", "argus-tasks")
FLOOR = "floor"
BURST = 20_000
PACED = 1_500
PACE_S = 0.002


class Floor:
    """What no reporter can be cheaper than on this machine: an epoch's numbers as JSON, and one
    write of an event's size. No time, no ids, no lock, no thread, and nothing is sent."""

    def __init__(self, *_batch: object, **_options: object) -> None:
        self._descriptor = tempfile.mkstemp(dir=os.environ["HOME"])[0]
        self._rest = b" " * 260 + b"\n"

    def __enter__(self) -> Floor:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._descriptor)

    def job(self, _name: str) -> nullcontext[Floor]:
        """Its own job."""
        return nullcontext(self)

    def epoch(self, epoch: int, **numbers: float) -> None:
        """One write call."""
        text = json.dumps({"epoch": epoch, **numbers})
        os.write(self._descriptor, text.encode() + self._rest)


def child(sdk: str, mode: str, url: str) -> dict[str, Any]:
    """One reading, in this process: the cost of each call and of leaving."""
    import logging

    logging.disable(logging.CRITICAL)
    reporter: Any
    if sdk == FLOOR:
        reporter = Floor
    elif sdk == "argus-tasks":
        from argus_tasks import Reporter

        reporter = Reporter
    else:
        import argus

        reporter = argus.Reporter
    n, pause_s = {"burst": (BURST, 0.0), "paced": (PACED, PACE_S), "steady": (1_000, 0.01)}[mode]
    took: list[float] = []
    clock = time.perf_counter
    with reporter("bench", source_project="p", n_total=1, monitor_url=url, token="em_x") as r:
        with r.job("job") as j:
            # What a training does before its first epoch: imports and data.
            time.sleep(1.0)
            cpu_from, main_from, wall_from = time.process_time(), time.thread_time(), clock()
            for epoch in range(n):
                if pause_s:
                    time.sleep(pause_s)
                loss = 1.0 / (epoch + 3)
                began = clock()
                j.epoch(epoch, train_loss=loss, val_loss=loss * 1.1, lr=1e-3)
                took.append(clock() - began)
            wall_s = clock() - wall_from
            main_cpu_s = time.thread_time() - main_from
            others_cpu_s = time.process_time() - cpu_from - main_cpu_s
        leaving = clock()
    exit_s = clock() - leaving
    took.sort()
    return {
        "median_us": statistics.median(took) * 1e6,
        "p99_us": took[int(len(took) * 0.99)] * 1e6,
        "worst_us": took[-1] * 1e6,
        "exit_s": exit_s,
        "wall_s": wall_s,
        "main_thread_cpu_s": main_cpu_s,
        "other_threads_cpu_pct": 100 * others_cpu_s / wall_s,
        "left_at": time.time(),
    }


def reading(sdk: str, mode: str) -> dict[str, Any]:
    """A fresh server and a fresh process."""
    from tests.argus_server import ServerProcess

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ServerProcess(folder, validate=False) as server:
            env = {key: value for key, value in os.environ.items() if "ARGUS" not in key}
            env |= {"HOME": name, "XDG_STATE_HOME": name, "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-m", "benchmarks.emit", "--child", sdk, mode, server.url]
            began = time.time()
            done = subprocess.run(
                command, env=env, cwd=ROOT, capture_output=True, text=True, check=True
            )
            ended = time.time()
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            receipts = [one for one in server.receipts() if "events" in one["route"]]
            rows = list({row["event_id"]: row for row in server.rows()}.values())
    posts = [one for one in receipts if one["event_ids"]]
    found["process_s"] = ended - began
    found["requests"] = len(receipts)
    found["bytes"] = sum(one["size"] for one in receipts)
    found["epochs_delivered"] = sum(row["event_type"] == "job_epoch" for row in rows)
    found["bytes_per_event"] = found["bytes"] / max(len(rows), 1)
    found["events_per_request"] = len(rows) / max(len(posts), 1)
    found["delivered_s_after_leaving"] = max(
        (one["at"] for one in receipts), default=found["left_at"]
    ) - (found["left_at"] - found["exit_s"])
    return found


def measure(
    pairs: int,
    modes: Sequence[str] = ("burst", "paced", "steady"),
    limit_s: float | None = None,
    *,
    with_floor: bool = False,
) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes; the limit is for the turns of each mode."""
    options = {"burst": BURST, "paced": PACED, "pace_s": PACE_S, "pairs": pairs}
    sdks = (*SDKS, FLOOR) if with_floor else SDKS
    about = header("emit", {**options, "limit_s": limit_s}, (SDKS[0], "httpx", "requests"))
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for mode in modes:
        say(f"{mode}: {pairs} rounds of {' and '.join(sdks)}, in turn")
        results[mode] = {sdk: [] for sdk in sdks}
        for turn, sdk in in_turns(sdks, pairs, limit_s):
            if turn:
                results[mode][sdk].append(reading(sdk, mode))
    return {**about, "results": results, "figures": emit_figures(results)}


def emit_figures(results: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Figures:
    """What a call of `epoch` takes, over argus-reporter's, as `emit.MODE`, and its p99."""
    found: Figures = {}
    for mode, of in results.items():
        theirs, ours = ([one["median_us"] for one in of[sdk]] for sdk in SDKS)
        found[f"emit.{mode}"] = ratio_figure(ours, theirs)
        found[f"emit.{mode}.p99"] = figure((one["p99_us"] for one in of["argus-tasks"]), "us")
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--modes", nargs="+", default=["burst", "paced", "steady"])
    parser.add_argument("--floor", action="store_true", help="measure json.dumps and os.write too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--child", nargs=3, metavar=("SDK", "MODE", "URL"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(*args.child)))
        return
    result = measure(args.pairs, args.modes, with_floor=args.floor)
    for mode in args.modes:
        _table(mode, result["results"][mode])
    if args.json:
        write_json(args.json, result)


def _table(mode: str, results: dict[str, list[dict[str, Any]]]) -> None:
    names = ["median_us", "p99_us", "worst_us", "exit_s", "delivered_s_after_leaving"]
    names += ["epochs_delivered", "requests", "events_per_request", "bytes_per_event", "bytes"]
    names += ["main_thread_cpu_s", "other_threads_cpu_pct", "process_s"]
    print(f"{mode:28}{SDKS[0]:>16}{SDKS[1]:>16}{'ratio':>10}   of medians over the pairs")
    for name in names:
        theirs, ours = (statistics.median(one[name] for one in results[sdk]) for sdk in SDKS)
        pairs = zip(*(results[sdk] for sdk in SDKS), strict=True)
        ratio = statistics.median(our[name] / (their[name] or 1e-9) for their, our in pairs)
        print(f"  {name:26}{theirs:16.3f}{ours:16.3f}{ratio:10.3f}")
    if FLOOR in results:
        for name in ("median_us", "p99_us"):
            floor = statistics.median(one[name] for one in results[FLOOR])
            print(f"  {name + ' of the floor':26}{'':16}{floor:16.3f}")


if __name__ == "__main__":
    main()
