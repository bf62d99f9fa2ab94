"""A metric by two config keys: model x dataset, with the best and the worst of each column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import flatten
from argus_tasks.base.visible import visible
from argus_tasks.results.read.direction import Direction
from argus_tasks.results.read.rows import Row
from argus_tasks.results.tables.axes import Axes
from argus_tasks.results.tables.leaderboard import SEED, Group, Leaderboard, Spread, leaderboard
from argus_tasks.results.tables.table import Column, number_specs, value_text


@dataclass(frozen=True, slots=True)
class Pivot:
    """A metric for each combination of the values of two config keys.

    `cells[i][j]` belongs to `row_values[i]` and `column_values[j]`; None where no run has a number.
    Its mean is nan or an infinity where the metric is not finite in some of the cell's runs.
    `over` has the config keys other than the seed in which runs of one cell differ.
    """

    metric: str
    direction: Direction
    row_key: str
    column_key: str
    row_values: tuple[Any, ...]
    column_values: tuple[Any, ...]
    cells: tuple[tuple[Spread | None, ...], ...]
    over: tuple[str, ...]

    def best(self, column: int) -> frozenset[int]:
        """The rows with the best mean of a column: several if they are equal, none if all are equal
        or there is only one."""
        return self._end(column, min if self.direction == "min" else max)

    def worst(self, column: int) -> frozenset[int]:
        """The rows with the worst mean of a column, in the same way."""
        return self._end(column, max if self.direction == "min" else min)

    def _end(self, column: int, end: Callable[[Iterable[float]], float]) -> frozenset[int]:
        means = {
            index: cell.mean
            for index, row in enumerate(self.cells)
            if (cell := row[column]) is not None and math.isfinite(cell.mean)
        }
        if len(set(means.values())) < 2:
            return frozenset()
        wanted = end(means.values())
        return frozenset(index for index, mean in means.items() if mean == wanted)


def pivot(
    rows: Sequence[Row],
    row_key: str,
    column_key: str,
    metric: str | None = None,
    direction: Direction | None = None,
) -> Pivot:
    """The means over all runs that share both values; metric and direction as `leaderboard` takes
    them.

    Errors: BadInput, where no run has the metric, or a key.
    """
    board = leaderboard(rows, metric, direction, group_by=[row_key, column_key])
    if board.metric is None:
        raise BadInput("no run has a metric that is a number.")
    return _pivot(board, row_key, column_key)


def pivot_of_best(board: Leaderboard, axes: Axes) -> Pivot | None:
    """Model by dataset: each model's best config on each dataset.

    None where model or dataset is not a key that varies, or no run has a number.
    """
    if axes.model is None or axes.dataset is None or board.metric is None:
        return None
    found = _pivot(board, axes.model, axes.dataset)
    return found if any(cell for row in found.cells for cell in row) else None


def _pivot(board: Leaderboard, row_key: str, column_key: str) -> Pivot:
    """The best of several groups that have the same two values."""
    assert board.metric is not None
    keys = (row_key, column_key)
    found: dict[tuple[str, ...], Group] = {}
    for group in board.groups:  # the best first
        if group.spread(board.metric) is not None:
            place = tuple(canonical_json(group.config.get(key)) for key in keys)
            found.setdefault(place, group)
    means = {place: group.spread(board.metric) for place, group in found.items()}
    rows, columns = (_values(board, key) for key in keys)
    return Pivot(
        board.metric,
        board.direction,
        row_key,
        column_key,
        tuple(rows.values()),
        tuple(columns.values()),
        tuple(tuple(means.get((one, two)) for two in columns) for one in rows),
        _differing(found.values()),
    )


def _differing(groups: Iterable[Group]) -> tuple[str, ...]:
    """The config keys other than the seed in which runs of one group differ."""
    found: dict[str, None] = {}
    for group in groups:
        first = flatten(group.rows[0].config)
        for row in group.rows[1:]:
            config = flatten(row.config)
            for key in {**first, **config}:
                same = canonical_json(config.get(key)) == canonical_json(first.get(key))
                if key != SEED and not same:
                    found[key] = None
    return tuple(found)


def keys_of(text: str) -> tuple[str, str]:
    """The two keys in `model,dataset`. Errors: BadInput."""
    keys = [key.strip() for key in text.split(",")]
    if len(keys) != 2 or not all(keys) or keys[0] == keys[1]:
        raise BadInput(f"--pivot is {text!r}; expected two config keys, such as model,dataset.")
    return keys[0], keys[1]


def pivot_columns(found: Pivot, best: str = "{} *", worst: str = "{} !") -> list[Column]:
    """The pivot as text columns; `best` and `worst` mark a cell's text."""
    columns = [
        Column(
            visible(found.row_key),
            tuple(value_text(value) for value in found.row_values),
            is_text=True,
        )
    ]
    for index, value in enumerate(found.column_values):
        cells = [row[index] for row in found.cells]
        have = [cell for cell in cells if cell is not None]
        specs = iter(number_specs([cell.mean for cell in have]) if have else [])
        texts = []
        for row, cell in enumerate(cells):
            if cell is None:
                texts.append("")
                continue
            spec = next(specs)
            text = f"{cell.mean:{spec}}" + ("" if cell.std is None else f" ± {cell.std:{spec}}")
            if row in found.best(index):
                text = best.format(text)
            elif row in found.worst(index):
                text = worst.format(text)
            texts.append(text)
        columns.append(Column(value_text(value), tuple(texts), is_text=True))
    return columns


def _values(board: Leaderboard, key: str) -> dict[str, Any]:
    """The key's values by their canonical text, as they first came; numbers by size."""
    found: dict[str, Any] = {}
    for group in sorted(board.groups, key=lambda group: min(row.run_id for row in group.rows)):
        value = group.config.get(key)
        found.setdefault(canonical_json(value), value)
    numbers = [value for value in found.values() if isinstance(value, int | float)]
    if len(numbers) < len(found) or any(isinstance(value, bool) for value in numbers):
        return found
    return dict(sorted(found.items(), key=lambda item: item[1]))
