"""All benchmarks in one run: `python -m benchmarks.suite [--full] [--check] [--only NAME ...]`.

Writes every reading into the ignored folder build/bench, a file for each benchmark, and what the
pages need into benchmarks/record.json; then docs/performance.md and the README's table from that.
Without `--full` everything has a limit, and it all takes less than ten minutes on two cores: turns
that do not fit are not begun, and without `--only` a step that comes too late is left out, its
earlier record staying as it is. With `--check` the readings go to build/bench-check, the record
stays, and the figures are compared with the accepted ones; what looks worse is measured a second
time, and fails where that says so too.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks import (
    check,
    control,
    efficiency,
    emit,
    life,
    monitor,
    page,
    recording,
    resume,
    starting,
    stopping,
)
from benchmarks import verdict as verdicts
from benchmarks.harness import ROOT, say
from benchmarks.overhead import OTHERS, OURS, PREFECT, ZTXEXP, compare
from benchmarks.overhead_round import Task
from benchmarks.prefect_server import StockServer
from benchmarks.record import READINGS, load_readings, update_record

LAST_START_S = 530.0
"""A step of the short suite that would begin later than this is left out."""
CHECKED = ROOT / "build" / "bench-check"
WORKERS = 2
BEST = PREFECT[0]


@dataclass(frozen=True)
class Step:
    """A benchmark: the file it writes, and how it is run in full, and (if at all) in short."""

    name: str
    full: Callable[[], dict[str, Any]]
    short: Callable[[], dict[str, Any]] | None = None


def _no_ops(n: int) -> Task:
    return Task(n, WORKERS)


LIGHT = tuple(entry for entry in OTHERS if entry.name != "ray")

STEPS = (
    Step(
        "overhead-1000",
        lambda: compare((OURS, ZTXEXP, *PREFECT), _no_ops(1000), 5),
        lambda: compare(
            (OURS, ZTXEXP, *PREFECT),
            _no_ops(1000),
            5,
            limit_s=220,
            fewer={entry.name: 3 for entry in PREFECT if entry is not BEST},
        ),
    ),
    Step(
        "starting",
        lambda: starting.measure(5, full=True),
        lambda: starting.measure(5, limit_s=65),
    ),
    Step(
        "efficiency-200-of-0.2-s",
        lambda: efficiency.measure("200 of 0.2 s", 5),
        lambda: efficiency.measure("200 of 0.2 s", 5, limit_s=45),
    ),
    Step(
        "emit",
        lambda: emit.measure(5),
        lambda: emit.measure(5, ("burst", "paced"), limit_s=22),
    ),
    Step(
        "overhead-100",
        lambda: compare((OURS, ZTXEXP, BEST), _no_ops(100), 5),
        lambda: compare((OURS, ZTXEXP, BEST), _no_ops(100), 5, limit_s=35),
    ),
    Step(
        "resume",
        lambda: resume.measure((1_000, 2_000, 10_000, 50_000), 5),
        lambda: resume.measure((1_000, 10_000), 5, limit_s=10),
    ),
    Step(
        "dynamic",
        lambda: control.measure(("no_ops",), 5),
        lambda: control.measure(("no_ops",), 5, limit_s=35),
    ),
    Step(
        "others-1000",
        lambda: compare((OURS, *OTHERS), _no_ops(1000), 3, key="others"),
        lambda: compare((OURS, *LIGHT), _no_ops(1000), 1, key="others", warm=False),
    ),
    Step(
        "waiting",
        lambda: efficiency.measure("200 of 50 ms", 5),
        lambda: efficiency.measure("200 of 50 ms", 5, limit_s=20),
    ),
    Step("recording", lambda: recording.measure(7), lambda: recording.measure(5, limit_s=10)),
    Step("life", lambda: life.measure(1000), lambda: life.measure(1000)),
    Step("verdict", verdicts.measure, verdicts.measure),
    Step("overhead-10000", lambda: compare((OURS, ZTXEXP, BEST), _no_ops(10_000), 3)),
    Step(
        "stock-1000",
        lambda: compare((OURS, BEST), _no_ops(1000), 3, StockServer, key="stock"),
    ),
    Step("efficiency-60-of-2-s", lambda: efficiency.measure("60 of 2 s", 3)),
    Step("control", lambda: control.measure(("control", "limit"), 3)),
    Step("stopping", lambda: stopping.measure(5)),
    Step("monitor", lambda: monitor.compare(1000, 5, WORKERS)),
)


def run(
    steps: Sequence[Step], folder: Path, *, full: bool, last_start_s: float | None = None
) -> list[str]:
    """Run these steps into the folder; the names of those that failed. Others go on.

    With `last_start_s`, a step that would begin later is left out.
    """
    began = time.monotonic()
    failed = []
    for step in steps:
        way = step.full if full or step.short is None else step.short
        at_s = time.monotonic() - began
        if last_start_s is not None and at_s > last_start_s:
            say(f"{step.name} is left out: {at_s:.0f} s are over; alone: --only {step.name}")
            continue
        say(f"{step.name}, {at_s:.0f} s after the start")
        try:
            write_json(folder / f"{step.name}.json", way())
        except Exception:  # noqa: BLE001 - the others go on
            failed.append(step.name)
            say(f"{step.name} FAILED:\n{traceback.format_exc()}")
    say(f"{time.monotonic() - began:.0f} s in all")
    return failed


def checked(steps: Sequence[Step], *, full: bool = False, last_start_s: float | None = None) -> int:
    """Measure, compare with what is accepted, measure again what looks worse: an exit code."""
    _empty(CHECKED)
    failed = run(steps, CHECKED, full=full, last_start_s=last_start_s)
    accepted = check.load_accepted()
    results = load_readings(CHECKED)
    doubtful = {
        name for name, of in results.items() if check.worse(accepted, of.get("figures", {}))
    }
    if doubtful:
        say(f"measured again, since something in it looks worse: {', '.join(sorted(doubtful))}")
        bad = set(check.worse(accepted, check.figures_of(results)))
        failed += run([step for step in steps if step.name in doubtful], CHECKED, full=full)
        figures = check.figures_of(load_readings(CHECKED))
        bad &= set(check.worse(accepted, figures))
    else:
        figures, bad = check.figures_of(results), set()
    print("\n".join(check.sentences(accepted, figures)))
    for key in sorted(bad):
        print(f"worse, twice: {key}")
    for name in failed:
        print(f"failed: {name}")
    return 1 if bad or failed else 0


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        path.unlink()


def main(argv: list[str] | None = None) -> int:
    """Exit code 1: a step failed, or with `--check` something is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("--full", action="store_true", help="everything, without limits: an hour")
    parser.add_argument("--check", action="store_true", help="compare with the accepted figures")
    names = [step.name for step in STEPS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    args = parser.parse_args(argv)
    wanted = args.only or [step.name for step in STEPS if args.full or step.short]
    steps = [step for step in STEPS if step.name in wanted]
    last_start_s = None if args.full or args.only else LAST_START_S
    if args.check:
        return checked(steps, full=args.full, last_start_s=last_start_s)
    _empty(READINGS)
    failed = run(steps, READINGS, full=args.full, last_start_s=last_start_s)
    update_record(load_readings(READINGS))
    page.write_all()
    for sentence in page.summary():
        print(sentence)
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
