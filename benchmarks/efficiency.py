"""Real work on two workers: `python -m benchmarks.efficiency`.

Jobs that use CPU time (0.2 s and 2 s of it), beside ztxexp's process pool and joblib: the time that
as many cores would take for the bare work, over the time to the last run's end. And jobs of 50 ms
that sleep: what is spent on Prefect's server, held back and settling.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.figures import SHARE, Figures, figure, shown
from benchmarks.harness import table
from benchmarks.overhead import ENTRIES, OURS, compare
from benchmarks.overhead_round import Entry, Task

WORKERS = 2
TASKS: Mapping[str, Task] = {
    "200 of 0.2 s": Task(200, WORKERS, "burn", 0.2),
    "60 of 2 s": Task(60, WORKERS, "burn", 2.0),
    "200 of 50 ms": Task(200, WORKERS, "pause", 0.05),
}
BESIDE = ("ours", "ztxexp", "joblib-docs")


def measure(name: str, pairs: int, limit_s: float | None = None) -> dict[str, Any]:
    """One of the tasks, as the JSON it writes. Errors: ContestantFailed, ServerFailed."""
    task = TASKS[name]
    entries: tuple[Entry, ...] = (OURS,)
    if task.job == "burn":
        entries = tuple(entry for entry in ENTRIES if entry.name in BESIDE)
    result = compare(entries, task, pairs, limit_s=limit_s)
    rounds = {name: each["rounds"] for name, each in result["contestants"].items()}
    return {**result, "benchmark": "efficiency", "figures": efficiency_figures(task, rounds)}


def efficiency_figures(task: Task, rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figures:
    """As `efficiency.SECONDS.CONTESTANT`; of jobs that sleep what ours waits for the server, in
    seconds and as a percentage of the work."""
    found: Figures = {}
    key = f"efficiency.{task.seconds:g}"
    for name, each in rounds.items():
        if each:
            shares = (task.seconds / task.workers / (1e-3 * one["work_ms"]) for one in each)
            found[f"{key}.{name}"] = figure(shares, SHARE)
    if task.job == "pause" and rounds.get("ours"):
        ours = rounds["ours"]
        found["waiting.seconds"] = figure((one["waited_s"] for one in ours), "s")
        parts = (100 * one["waited_s"] / (1e-3 * one["work_ms"] * one["n"]) for one in ours)
        found["waiting.of_the_work"] = figure(parts, "%")
    return found


def rows(figures: Figures) -> list[list[str]]:
    """A row for each figure."""
    return [[key, shown(of["median"], of["unit"]), str(of["pairs"])] for key, of in figures.items()]


def main(argv: list[str] | None = None) -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.efficiency", description=__doc__)
    parser.add_argument("--only", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--pairs", type=int, default=5, help="default 5")
    parser.add_argument("--json", type=Path, metavar="DIR", help="write everything there")
    args = parser.parse_args(argv)
    for name in args.only:
        result = measure(name, args.pairs)
        print(table((name, "median", "pairs"), rows(result["figures"])))
        if args.json:
            write_json(args.json / f"efficiency-{name.replace(' ', '-')}.json", result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
