"""The costs that were measured for several n, as curves."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmarks.figures import Figure
from benchmarks.growth import Growth, growth

Curves = dict[str, list[tuple[int, float]]]

_NAMED = (
    (re.compile(r"overhead\.(\d+)\.work_s$"), "sweep of no-ops, last run ended"),
    (re.compile(r"overhead\.(\d+)\.caught_up_s$"), "sweep of no-ops, server caught up"),
    (re.compile(r"overhead\.(\d+)\.peak$"), "sweep of no-ops, memory of the flow"),
    (re.compile(r"resume\.(\d+)\.plan$"), "deciding what is left, warm"),
    (re.compile(r"resume\.(\d+)\.plan, cold$"), "deciding what is left, cold"),
    (re.compile(r"resume\.(\d+)\.results$"), "results"),
    (re.compile(r"resume\.(\d+)\.leaderboard$"), "leaderboard"),
    (re.compile(r"resume\.(\d+)\.report$"), "report"),
)


def curves_of(figures: Mapping[str, Figure]) -> Curves:
    """Each curve's points, (n, median), by n; those of fewer than two are left out."""
    found: Curves = {}
    for pattern, name in _NAMED:
        points = [
            (int(fits.group(1)), float(of["median"]))
            for key, of in figures.items()
            if (fits := pattern.fullmatch(key))
        ]
        if len(points) > 1:
            found[name] = sorted(points)
    return found


def growths_of(figures: Mapping[str, Figure]) -> dict[str, Growth]:
    """How each curve grows."""
    return {name: growth(points) for name, points in curves_of(figures).items()}
