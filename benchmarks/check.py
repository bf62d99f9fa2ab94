"""Is anything worse than what was accepted: `python -m benchmarks.check [--results DIR]`.

The rule. Compared are ratios and shares of at least three readings: they hold on any machine. A
figure is worse where its median is beyond the accepted median by more than the noise: the distance
from the accepted median to the accepted run's own worst reading, and at least 15 % of the median
(of a share: 3 %).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argus_tasks.base.files import read_json, write_json
from benchmarks.figures import RATIO, SHARE, Figure, more_is_better, shown
from benchmarks.harness import ROOT
from benchmarks.record import load_readings, load_record

ACCEPTED = ROOT / "benchmarks" / "accepted.json"
LEAST_NOISE = {RATIO: 0.15, SHARE: 0.03}
LEAST_READINGS = 3


def figures_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """All figures of all benchmarks."""
    return {key: found for of in results.values() for key, found in of.get("figures", {}).items()}


def compared(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """Those that the rule is for."""
    return {
        key: found
        for key, found in figures.items()
        if found["unit"] in LEAST_NOISE and found["pairs"] >= LEAST_READINGS
    }


def bound(accepted: Figure) -> float:
    """The median that would just not be worse."""
    median, least = float(accepted["median"]), LEAST_NOISE[accepted["unit"]]
    if more_is_better(accepted["unit"]):
        return median - max(median - float(accepted["min"]), least * median)
    return median + max(float(accepted["max"]) - median, least * median)


def is_worse(accepted: Figure, found: Figure) -> bool:
    """Whether the figure is worse than the accepted one by more than noise."""
    limit = bound(accepted)
    median = float(found["median"])
    return median < limit if more_is_better(accepted["unit"]) else median > limit


def worse(accepted: Mapping[str, Figure], figures: Mapping[str, Figure]) -> list[str]:
    """The names of the figures that are worse; those not measured are not looked at."""
    return [
        key
        for key, found in compared(figures).items()
        if key in accepted and is_worse(accepted[key], found)
    ]


def sentences(accepted: Mapping[str, Figure], figures: Mapping[str, Figure]) -> list[str]:
    """What the check has to say: a line for each that is worse, and one for all."""
    lines = []
    bad = worse(accepted, figures)
    for key in bad:
        before, now = accepted[key], figures[key]
        unit = before["unit"]
        lines.append(
            f"worse: {key} is {shown(now['median'], unit)}, accepted "
            f"{shown(before['median'], unit)}, bound {shown(bound(before), unit)}"
        )
    looked_at = [key for key in compared(figures) if key in accepted]
    new = len(compared(figures)) - len(looked_at)
    lines.append(
        f"{len(bad)} of {len(looked_at)} figures worse than accepted; "
        f"{len(accepted) - len(looked_at)} not measured, {new} new"
    )
    return lines


def load_accepted(path: Path = ACCEPTED) -> dict[str, Figure]:
    """The accepted figures; none where nothing has been accepted yet."""
    found: dict[str, Figure] = read_json(path)["figures"] if path.exists() else {}
    return found


def accept(results: Mapping[str, Mapping[str, Any]], path: Path = ACCEPTED) -> None:
    """Write these results' figures as the accepted ones; those not measured stay as they were."""
    now = {
        key: {**found, "at": of["started_at"], "git": of["versions"]["git"]}
        for of in results.values()
        for key, found in compared(of.get("figures", {})).items()
    }
    figures = {**load_accepted(path), **now}
    write_json(path, {"schema_version": 1, "figures": dict(sorted(figures.items()))})


def main(argv: list[str] | None = None) -> int:
    """Exit code 1: something is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="default: benchmarks/record.json"
    )
    parser.add_argument("--accept", action="store_true", help="make these the accepted figures")
    args = parser.parse_args(argv)
    results = load_readings(args.results) if args.results else load_record()
    if args.accept:
        accept(results)
        print(f"accepted: {len(load_accepted())} figures, in {ACCEPTED}")
        return 0
    accepted, figures = load_accepted(), figures_of(results)
    print("\n".join(sentences(accepted, figures)))
    return 1 if worse(accepted, figures) else 0


if __name__ == "__main__":
    sys.exit(main())
