"""Learning curves: the points of `metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.files import read_json_lines
from argus_tasks.base.nested import flatten
from argus_tasks.results.leaderboard import Spread, spread
from argus_tasks.results.rows import Row
from argus_tasks.runs.layout import METRICS_JSONL


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one run and split, by step; of a step told twice (a retry) the later counts."""

    run_id: str
    metric: str
    split: str
    phase: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


def curves_of(row: Row, metrics: Iterable[str] | None = None) -> list[Curve]:
    """The run's curves, all of them or those of the metrics named; points that are not finite are
    left out. A run that logged none has none."""
    wanted = None if metrics is None else set(metrics)
    points: dict[tuple[str, str, str], dict[int, float]] = {}
    for line in read_json_lines(row.path / METRICS_JSONL):
        if not isinstance(line, dict) or not isinstance(line.get("metrics"), dict):
            continue
        step = line.get("step")
        if not isinstance(step, int):
            continue
        split, phase = str(line.get("split")), str(line.get("phase"))
        for name, value in flatten(line["metrics"]).items():
            if (wanted is None or name in wanted) and _is_finite(value):
                points.setdefault((name, split, phase), {})[step] = float(value)
    return [
        Curve(row.run_id, *key, tuple(sorted(found)), tuple(found[step] for step in sorted(found)))
        for key, found in points.items()
    ]


def mean_curve(curves: Iterable[Curve]) -> list[tuple[int, Spread]]:
    """Curves of several runs as one: at each step the spread of those that have it."""
    values: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in zip(curve.steps, curve.values, strict=True):
            values.setdefault(step, []).append(value)
    found = [(step, spread(values[step])) for step in sorted(values)]
    return [(step, each) for step, each in found if each is not None]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
