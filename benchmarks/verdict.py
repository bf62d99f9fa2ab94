"""How often the verdict is wrong: python -m benchmarks.verdict [SIMULATIONS]

Simulated benchmarks of 12 cells with five repeats a side, judged as `argus-tasks compare` judges
them. A/A: nothing differs, and every "worse" is a false alarm. Power: one cell, or all, are 10 %
worse at 3 % noise. The seeds are fixed, so the figures are the same everywhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from argus_tasks.results.stats.tests import ALPHA, judge
from benchmarks import figures as claimed
from benchmarks.harness import header

SIMULATIONS = 5_000
SEEDS = (20260101, 20260102, 20260103, 20260104, 20260105)
CELLS, REPEATS = 12, 5
NOISE, SHIFT = 0.03, 0.10

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares of the simulations.

    Attributes:
        noise: the kind of noise.
        paired: whether the sides share their seeds.
        alarms: a "worse" anywhere, though nothing differs.
        alarms_at_most: the upper end of its 95 % interval.
        found_all: of all 12 cells worse: anything found.
        every_cell: of all 12 cells worse: every one of them named.
        found_one: of one cell worse: that cell named.
    """

    noise: str
    paired: bool
    alarms: float
    alarms_at_most: float
    found_all: float
    every_cell: float
    found_one: float


def values(rng: np.random.Generator, noise: str, simulations: int) -> tuple[Floats, Floats]:
    """Two sides that differ in nothing: (simulations, cells, repeats) each."""
    shape = (simulations, CELLS, REPEATS)
    level = np.exp(rng.uniform(-3, 5, (simulations, CELLS, 1)))

    def side() -> Floats:
        if noise == "normal":
            return np.asarray(level * (1 + NOISE * rng.standard_normal(shape)))
        if noise == "heavy tails":
            tails = rng.standard_t(5, shape) / np.sqrt(5 / 3)
            return np.asarray(level * (1 + NOISE * tails).clip(0.01))
        return np.asarray(level * rng.gamma(1 / 0.09, 0.09, shape))  # skewed, 30 %

    if noise == "other in each cell":
        widths = np.exp(rng.uniform(np.log(0.005), np.log(0.1), (simulations, CELLS, 1)))
        first, second = (level * (1 + widths * rng.standard_normal(shape)) for _ in range(2))
        return first, second
    return side(), side()


def named_worse(before: Floats, after: Floats, *, paired: bool) -> NDArray[np.bool_]:
    """Which cells are called worse, less being better: `results.compare.verdict` on many."""
    first, second = np.log(before), np.log(after)
    repeats = before.shape[-1]
    if paired:
        differences = second - first
        variance, df, share = differences.var(axis=-1, ddof=1), repeats - 1, 1 / repeats
    else:
        variance = (first.var(axis=-1, ddof=1) + second.var(axis=-1, ddof=1)) / 2
        df, share = 2 * repeats - 2, 2 / repeats
    effect = second.mean(axis=-1) - first.mean(axis=-1)
    judged = judge(effect, variance, np.array(float(df)), np.array(share))
    return np.asarray((judged.p_up <= ALPHA) & (effect > 0))


def figures(
    noise: str, *, paired: bool, simulations: int = SIMULATIONS, seeds: Sequence[int] = SEEDS
) -> Figures:
    """Simulate so many benchmarks, an equal part with each of the seeds."""
    alarms, found_all, every_cell, found_one = 0, 0, 0, 0
    part = simulations // len(seeds)
    for seed in seeds:
        before, after = values(np.random.default_rng(seed), noise, part)
        alarms += int(named_worse(before, after, paired=paired).any(axis=1).sum())
        worse = named_worse(before, after * (1 + SHIFT), paired=paired)
        found_all += int(worse.any(axis=1).sum())
        every_cell += int(worse.all(axis=1).sum())
        after[:, 0] *= 1 + SHIFT
        found_one += int(named_worse(before, after, paired=paired)[:, 0].sum())
    total = part * len(seeds)
    upper = stats.binomtest(alarms, total).proportion_ci(0.95, method="exact").high
    return Figures(
        noise,
        paired,
        alarms / total,
        float(upper),
        found_all / total,
        every_cell / total,
        found_one / total,
    )


def all_figures(simulations: int) -> list[Figures]:
    """For each kind of noise, by pairs and by two samples."""
    return [
        figures(noise, paired=paired, simulations=simulations)
        for noise in ("normal", "other in each cell", "heavy tails", "skewed")
        for paired in (True, False)
    ]


def measure(simulations: int = SIMULATIONS) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes; figures as `verdict.NOISE.WHAT`, the worse of
    pairs and samples."""
    found = all_figures(simulations)
    options = {"simulations": simulations, "cells": CELLS, "repeats": REPEATS}
    result = header("verdict", options, ("numpy", "scipy"))
    claims: claimed.Figures = {}
    for noise in dict.fromkeys(each.noise for each in found):
        both = [each for each in found if each.noise == noise]
        for what in ("alarms", "alarms_at_most"):
            percent = 100 * max(getattr(each, what) for each in both)
            claims[f"verdict.{noise}.{what}"] = claimed.figure([percent], "%")
        for what in ("found_all", "found_one"):
            least = min(getattr(each, what) for each in both)
            claims[f"verdict.{noise}.{what}"] = claimed.figure([least], claimed.SHARE)
    return {**result, "found": [asdict(each) for each in found], "figures": claims}


def main() -> None:
    """Print a line for each kind of noise; the JSON last."""
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else SIMULATIONS
    found = all_figures(simulations)
    print(f"{simulations} simulations, {CELLS} cells, {REPEATS} repeats a side; shares of them")
    for line in found:
        print(
            f"{line.noise:20} {'pairs' if line.paired else 'samples':8}"
            f" false alarms {line.alarms:.4f} (at most {line.alarms_at_most:.4f})"
            f"  all worse: found {line.found_all:.3f}, every cell named {line.every_cell:.3f}"
            f"  one worse: named {line.found_one:.3f}"
        )
    print(json.dumps([asdict(line) for line in found]))


if __name__ == "__main__":
    main()
