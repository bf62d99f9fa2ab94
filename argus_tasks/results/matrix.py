"""Model by dataset: each model's best config on each dataset, the best and worst marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.ids import canonical_json
from argus_tasks.results.axes import Axes
from argus_tasks.results.leaderboard import Group, Leaderboard
from argus_tasks.results.table import value_text


@dataclass(frozen=True, slots=True)
class Matrix:
    """Names of models (rows) and datasets (columns), and the best group where both meet.

    `best` and `worst` name the models of each dataset's best and worst mean: several where they
    are equal, none where a dataset has one model only or all are equal.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    cells: dict[tuple[str, str], Group]
    best: dict[str, frozenset[str]]
    worst: dict[str, frozenset[str]]


def matrix(board: Leaderboard, axes: Axes) -> Matrix | None:
    """The matrix; None where model or dataset is not a key that varies, or there is no metric."""
    if axes.model is None or axes.dataset is None or board.metric is None:
        return None
    cells: dict[tuple[str, str], Group] = {}
    for group in board.groups:  # the best first
        if axes.model in group.config and axes.dataset in group.config:
            place = value_text(group.config[axes.model]), value_text(group.config[axes.dataset])
            if board.metric in group.metrics:
                cells.setdefault(place, group)
    if not cells:
        return None
    metric = board.metric
    models = _in_order(board, axes.model)
    datasets = _in_order(board, axes.dataset)
    best: dict[str, frozenset[str]] = {}
    worst: dict[str, frozenset[str]] = {}
    for dataset in datasets:
        means = {
            model: cells[model, dataset].metrics[metric].mean
            for model in models
            if (model, dataset) in cells
        }
        low, high = min(means.values(), default=0.0), max(means.values(), default=0.0)
        if low == high:
            continue
        good, bad = (low, high) if board.direction == "min" else (high, low)
        best[dataset] = frozenset(model for model, mean in means.items() if mean == good)
        worst[dataset] = frozenset(model for model, mean in means.items() if mean == bad)
    return Matrix(models, datasets, cells, best, worst)


def _in_order(board: Leaderboard, key: str) -> tuple[str, ...]:
    """The key's values as they first came; numbers by size."""
    values: dict[str, Any] = {}
    for group in sorted(board.groups, key=lambda group: min(row.run_id for row in group.rows)):
        if key in group.config:
            values.setdefault(canonical_json(group.config[key]), group.config[key])
    known: Sequence[Any] = list(values.values())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        known = sorted(known)
    return tuple(dict.fromkeys(value_text(value) for value in known))
