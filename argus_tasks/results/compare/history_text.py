"""A history as text: a sparkline for each cell, a table of the batches."""

from __future__ import annotations

from collections.abc import Sequence

from argus_tasks.base.nested import MISSING, flatten
from argus_tasks.results.compare.batch_history import History, Series
from argus_tasks.results.compare.sides import minute_text
from argus_tasks.results.read.direction import better_is, guess_direction
from argus_tasks.results.read.rows import codes_of
from argus_tasks.results.stats.moments import scale_of
from argus_tasks.results.tables.leaderboard import Spread, not_finite_of
from argus_tasks.results.tables.render import plain_lines
from argus_tasks.results.tables.table import Column, distinguishing_keys, number_specs, value_text

_BARS = "▁▂▃▄▅▆▇█"


def history_lines(found: History) -> list[str]:
    """The whole history as lines of text."""
    direction = guess_direction(found.metric)
    better = f", {better_is(direction)}" if direction else ""
    names = series_names(found)
    lines = [f"{found.metric} of {found.name}, {batch_count(found)}{better}", ""]
    lines += plain_lines(
        [
            Column("cell", tuple(names), is_text=True),
            Column("first", tuple(_end(each.points, 0) for each in found.series)),
            Column("last", tuple(_end(each.points, -1) for each in found.series)),
            Column("history", tuple(sparkline(each.points) for each in found.series), is_text=True),
            Column("changes", tuple(_changes(each) for each in found.series), is_text=True),
        ]
    )
    lines += ["", *plain_lines(batch_columns(found))]
    odd = sum(found.metric in not_finite_of(row) for side in found.batches for row in side.rows)
    if odd:
        lines += ["", f"{odd} not finite: a cell has no mean in their batch"]
    return lines


def batch_count(found: History) -> str:
    """`1 batch`, `2 batches`."""
    count = len(found.batches)
    return "1 batch" if count == 1 else f"{count} batches"


def batch_columns(found: History) -> list[Column]:
    """A line for each batch: id, date, code, runs, and the cells whose level changes at it."""
    changed: dict[int, list[str]] = {}
    for name, each in zip(series_names(found), found.series, strict=True):
        for change in each.changes:
            changed.setdefault(change.at, []).append(f"{name} {level_text(each, change.change)}")
    sides = found.batches
    codes = [",".join(codes_of(side.rows)) for side in sides]
    levels = ["; ".join(changed.get(place, [])) for place in range(len(sides))]
    return [
        Column("", tuple(str(place + 1) for place in range(len(sides)))),
        Column("batch", tuple(str(side.batch_id) for side in sides), is_text=True),
        Column("began", tuple(minute_text(side.created_at) for side in sides), is_text=True),
        Column("code", tuple(codes), is_text=True),
        Column("runs", tuple(str(len(side.rows)) for side in sides)),
        Column("new levels", tuple(levels), is_text=True),
    ]


def sparkline(points: Sequence[Spread | None]) -> str:
    """A bar for each batch between the lowest and the highest mean; a gap where there is none."""
    scale = scale_of(point.mean for point in points if point)
    means = [None if point is None else point.mean / scale for point in points]
    have = [mean for mean in means if mean is not None]
    low, high = min(have), max(have)
    flat = high - low <= 1e-6 * max(abs(low), abs(high))
    return "".join(
        " "
        if mean is None
        else _BARS[0 if flat else round((mean - low) / (high - low) * (len(_BARS) - 1))]
        for mean in means
    )


def series_names(found: History) -> list[str]:
    """A short name for each cell: the values by which they differ."""
    configs = [flatten(each.config) for each in found.series]
    known = dict.fromkeys(key for config in configs for key in config)
    differ = [
        key
        for key in known
        if any(config.get(key, MISSING) != configs[0].get(key, MISSING) for config in configs)
    ]
    keys = distinguishing_keys(differ, configs)
    return [
        " ".join(value_text(config[key]) for key in keys if key in config) or "all"
        for config in configs
    ]


def _end(points: Sequence[Spread | None], place: int) -> str:
    have = [point for point in points if point]
    mean = have[place].mean
    return f"{mean:{number_specs([mean])[0]}}"


def _changes(series: Series) -> str:
    return ", ".join(
        f"at {change.at + 1}: {level_text(series, change.change)}" for change in series.changes
    )


def level_text(series: Series, change: float) -> str:
    """`+12.3%`, or `+0.012` where changes are differences."""
    return f"{change:+.1%}" if series.relative else f"{change:+.3g}"
