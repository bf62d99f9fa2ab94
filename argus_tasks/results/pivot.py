"""A metric by two config keys: model x dataset, with the best and the worst of each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import flatten
from argus_tasks.results.direction import Direction
from argus_tasks.results.leaderboard import SEED, Spread, leaderboard
from argus_tasks.results.rows import Row
from argus_tasks.results.table import Column, number_specs, value_text


@dataclass(frozen=True, slots=True)
class Pivot:
    """Means over all runs that share both values.

    `cells[i][j]` belongs to `row_values[i]` and `column_values[j]`; None where no run has a number.
    `over` names the config keys beside the seed in which runs of one cell differ.
    """

    metric: str
    direction: Direction
    row_key: str
    column_key: str
    row_values: tuple[Any, ...]
    column_values: tuple[Any, ...]
    cells: tuple[tuple[Spread | None, ...], ...]
    over: tuple[str, ...]

    def best(self, column: int) -> int | None:
        """The row with the best mean of a column; None where it has no number."""
        return self._end(column, best=True)

    def worst(self, column: int) -> int | None:
        """The row with the worst mean; None where there are not two to tell apart."""
        have = [row[column] for row in self.cells if row[column] is not None]
        return self._end(column, best=False) if len(have) > 1 else None

    def _end(self, column: int, *, best: bool) -> int | None:
        found = [
            (cell.mean, index)
            for index, row in enumerate(self.cells)
            if (cell := row[column]) is not None
        ]
        if not found:
            return None
        return (min(found) if best == (self.direction == "min") else max(found))[1]


def pivot(
    rows: Sequence[Row],
    row_key: str,
    column_key: str,
    metric: str | None = None,
    direction: Direction | None = None,
) -> Pivot:
    """The pivot of the rows; metric and direction as `leaderboard` takes them.

    Errors: BadInput, where no run has the metric, or a key.
    """
    board = leaderboard(rows, metric, direction, group_by=[row_key, column_key])
    if board.metric is None:
        raise BadInput("no run has a metric that is a number.")
    values = [_values(rows, key) for key in (row_key, column_key)]
    found = {
        tuple(canonical_json(group.config.get(key)) for key in (row_key, column_key)): (
            group.metrics.get(board.metric)
        )
        for group in board.groups
    }
    return Pivot(
        board.metric,
        board.direction,
        row_key,
        column_key,
        tuple(values[0].values()),
        tuple(values[1].values()),
        tuple(tuple(found.get((one, two)) for two in values[1]) for one in values[0]),
        _differing(rows, row_key, column_key),
    )


def _differing(rows: Sequence[Row], row_key: str, column_key: str) -> tuple[str, ...]:
    first: dict[tuple[str, str], dict[str, Any]] = {}
    found: dict[str, None] = {}
    for row in rows:
        config = flatten(row.config)
        place = (canonical_json(config.get(row_key)), canonical_json(config.get(column_key)))
        other = first.setdefault(place, config)
        for key in {**other, **config}:
            if key != SEED and canonical_json(config.get(key)) != canonical_json(other.get(key)):
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
        Column(found.row_key, tuple(value_text(value) for value in found.row_values), is_text=True)
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
            if row == found.best(index):
                text = best.format(text)
            elif row == found.worst(index):
                text = worst.format(text)
            texts.append(text)
        columns.append(Column(value_text(value), tuple(texts), is_text=True))
    return columns


def _values(rows: Sequence[Row], key: str) -> dict[str, Any]:
    """The key's values by their canonical text, in the order in which they come."""
    found: dict[str, Any] = {}
    for row in rows:
        value = flatten(row.config).get(key)
        found.setdefault(canonical_json(value), value)
    return found
