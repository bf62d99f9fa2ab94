"""A metric over the batches of one sweep, and where its level has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.results.compare.sides import Side, batch_side, cell_config
from argus_tasks.results.compare.verdict import ROUNDING
from argus_tasks.results.read.rows import Row, load_rows
from argus_tasks.results.stats.moments import expm1
from argus_tasks.results.tables.leaderboard import (
    RESOURCES,
    Spread,
    not_finite_of,
    numbers_of,
    spread,
)
from argus_tasks.runs.ledger.sweep_folder import batches

CHANGE_ALPHA = 0.01
"""The rate at which a change is reported for a cell whose level never changes."""
LEAST_LEVEL = 2
"""Batches that a new level must last; a single bad night is found by the verdict."""
CONFIRMATION = "-confirmation"


@dataclass(frozen=True, slots=True)
class Change:
    """A new level: the index of its first batch, and by how much it is above the old level, as a
    share of that (as a difference where not all values are above zero)."""

    at: int
    change: float


@dataclass(frozen=True, slots=True)
class Series:
    """A cell's mean in each batch; None for a batch without a number, and where one of its runs
    has one that is not finite."""

    key: str
    config: dict[str, Any]
    points: tuple[Spread | None, ...]
    relative: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class History:
    """A metric of one sweep: its batches, the oldest first, and a series for each cell."""

    name: str
    metric: str
    batches: tuple[Side, ...]
    series: tuple[Series, ...]


def history(root: Path, metric: str, name: str | None = None, last: int | None = None) -> History:
    """The history of a metric over the batches of the sweep of that name (by default the only one).

    `last`: only this many of the newest batches. Errors: BadInput where there is no such sweep, no
    batch, or no run with the metric.
    """
    states = [(folder.batch_id, state) for folder in batches(root) if (state := folder.state())]
    names = list(
        dict.fromkeys(
            str(state.get("name"))
            for _, state in states
            if not str(state.get("name")).endswith(CONFIRMATION)
        )
    )
    if name is None:
        if len(names) != 1:
            raise BadInput(
                f"there are several sweeps under {root}: {', '.join(names)}; choose one with"
                " --name."
                if names
                else f"there are no batches under {root}."
            )
        name = names[0]
    elif name not in names:
        raise BadInput(
            f"there is no sweep {name!r} under {root}; there are {', '.join(names) or 'none'}."
            f"{did_you_mean(name, names)}"
        )
    every = load_rows(root).rows
    sides = [
        batch_side(root, batch_id, every) for batch_id, state in states if state.get("name") == name
    ]
    sides.sort(key=lambda side: side.created_at or "")
    sides = sides[-last:] if last else sides
    _check_metric(metric, [row for side in sides for row in side.rows])
    return History(name, metric, tuple(sides), tuple(_series(sides, metric)))


def change_points(points: Sequence[Spread | None], *, relative: bool) -> list[Change]:
    """Where a series' level changes. It is split where that explains most of the variance, as long
    as that is more than noise explains; each part is then split again."""
    have = [(place, point) for place, point in enumerate(points) if point is not None]
    sizes = [max(abs(point.mean), point.std or 0.0) for _, point in have]
    scale = 1.0 if relative else max(sizes, default=0.0) or 1.0
    values = [math.log(point.mean) if relative else point.mean / scale for _, point in have]
    errors = [_error(point, point.mean if relative else scale) for _, point in have]
    found: list[Change] = []
    _split(values, errors, 0, len(values), found, relative)
    return [
        Change(have[change.at][0], change.change * scale) for change in sorted(found, key=_place)
    ]


def _place(change: Change) -> int:
    return change.at


def _error(point: Spread, scale: float) -> float:
    """The variance of a batch's mean in units of the scale, estimated from its repeats."""
    if point.std is None:
        return 0.0
    return (point.std / scale) ** 2 / point.n


def _split(
    values: Sequence[float],
    errors: Sequence[float],
    begin: int,
    end: int,
    found: list[Change],
    relative: bool,
) -> None:
    size = end - begin
    places = range(begin + LEAST_LEVEL, end - LEAST_LEVEL + 1)
    if not places:
        return
    tries = [_t_of(values[begin:at], values[at:end], errors[begin:end]) for at in places]
    best = max(range(len(tries)), key=lambda index: abs(tries[index]))
    p = 2 * stats.t.sf(abs(tries[best]), size - 2) * len(tries)
    if p > CHANGE_ALPHA:
        return
    at = places[best]
    difference = _mean(values[at:end]) - _mean(values[begin:at])
    found.append(Change(at, expm1(difference) if relative else difference))
    _split(values, errors, begin, at, found, relative)
    _split(values, errors, at, end, found, relative)


def _t_of(first: Sequence[float], second: Sequence[float], errors: Sequence[float]) -> float:
    one, two = _mean(first), _mean(second)
    rounding = ROUNDING * max(abs(value) for value in (*first, *second, 1.0))
    if abs(two - one) <= rounding:
        return 0.0
    squares = math.fsum([(value - one) ** 2 for value in first])
    squares += math.fsum([(value - two) ** 2 for value in second])
    # The noise estimated from repeats is the least by which nights can differ.
    variance = max(squares / (len(first) + len(second) - 2), _mean(errors), rounding**2)
    return (two - one) / math.sqrt(variance * (1 / len(first) + 1 / len(second)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _series(sides: Sequence[Side], metric: str) -> list[Series]:
    ignored = {key for side in sides for key in side.ignore_keys}
    cells = [side.cells(ignored) for side in sides]
    found = []
    for key in dict.fromkeys(key for each in cells for key in each):
        numbers = [_numbers(each.get(key, []), metric) for each in cells]
        points = tuple(
            None if is_odd(each.get(key, []), metric) else spread(values)
            for each, values in zip(cells, numbers, strict=True)
        )
        if any(points):
            relative = all(value > 0 for values in numbers for value in values)
            first = next(each[key][0].config for each in cells if key in each)
            config = cell_config(first, ignored)
            changes = tuple(change_points(points, relative=relative))
            found.append(Series(key, config, points, relative, changes))
    return found


def is_odd(rows: Sequence[Row], metric: str) -> bool:
    """Whether the metric is not finite in one of the runs, so that they have no mean."""
    return any(metric in not_finite_of(row) for row in rows)


def _numbers(rows: Sequence[Row], metric: str) -> list[float]:
    return [value for row in rows if (value := numbers_of(row, metric).get(metric)) is not None]


def _check_metric(metric: str, rows: Sequence[Row]) -> None:
    known = dict.fromkeys(name for row in rows for name in numbers_of(row, metric))
    if metric not in known:
        raise BadInput(
            f"no run has a metric {metric!r}; there are {', '.join([*known, *RESOURCES])}."
            f"{did_you_mean(metric, known)}"
        )
