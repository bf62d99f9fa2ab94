"""The effect of each config key on the metric, and the share of variance that it explains.

Needs SciPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from argus_tasks.base.ids import canonical_json
from argus_tasks.results.stats.moments import mean, scale_of
from argus_tasks.results.tables.axes import Axes
from argus_tasks.results.tables.leaderboard import Group, Leaderboard
from argus_tasks.results.tables.table import keys_shown, value_text

MOST_LEVELS = 8
"""A numeric key with more values than this is cut into quarters; of other keys the rarest values
are left out."""
_QUARTERS = 4
ALPHA = 0.05

METHOD = (
    "Share of the metric's variance between configs that a key explains beyond all other keys"
    " (analysis of variance without interactions, type II; epsilon squared: corrected for what"
    " chance explains; F test at 5 %). A numeric key with many values is cut into quarters. Effects"
    " of keys in combination are not included."
)
_LEAST_DF = 3


@dataclass(frozen=True, slots=True)
class Level:
    """The configs with one value of a key (or a range of values): their mean and each one."""

    label: str
    mean: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a key.

    `importance` is from 0 to 1, None where there are too few configs; `is_chance` where it is
    not significant by the F test.
    """

    key: str
    levels: tuple[Level, ...]
    importance: float | None
    is_chance: bool


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects, the most important first.

    Where `within` names the dataset's key, values are differences from the dataset's mean in units
    of its standard deviation, so that datasets of different scale count alike.
    """

    within: str | None
    effects: tuple[Effect, ...]


def effects(board: Leaderboard, axes: Axes) -> Effects:
    """The effects of the keys by which configs differ, except the dataset's."""
    groups = [group for group in board.groups if board.metric in group.metrics]
    keys = [key for key in keys_shown(board) if key != axes.dataset]
    if len(groups) < 2 or not keys:
        return Effects(None, ())
    assert board.metric is not None
    values = np.array([group.metrics[board.metric].mean for group in groups])
    blocks = 1
    if axes.dataset is not None:
        values, blocks = _within(values, [group.config.get(axes.dataset) for group in groups])
    labels = {key: _labels_of(key, groups) for key in keys}
    model = _Model(values, list(labels.values()), blocks)
    found = [
        Effect(key, _levels(labels[key], values), *model.importance(place))
        for place, key in enumerate(keys)
    ]
    ranked = sorted(
        (effect for effect in found if len(effect.levels) > 1),
        key=lambda effect: -1.0 if effect.importance is None else effect.importance,
        reverse=True,
    )
    return Effects(axes.dataset, tuple(ranked))


def _within(values: NDArray[np.float64], where: Sequence[Any]) -> tuple[NDArray[np.float64], int]:
    """Each value as a difference from its dataset's mean, in its standard deviations."""
    places: dict[str, list[int]] = {}
    for index, value in enumerate(where):
        places.setdefault(canonical_json(value), []).append(index)
    out = values.copy()
    for indexes in places.values():
        own = values[indexes] / (np.abs(values[indexes]).max() or 1.0)
        own -= own.mean()
        spread = own.std()
        out[indexes] = own / spread if spread > 1e-12 else 0.0
    return out, len(places)


def _labels_of(key: str, groups: Sequence[Group]) -> list[str | None]:
    """Each group's label by the key; None for a rare value, and where the key is not there."""
    have = [index for index, group in enumerate(groups) if key in group.config]
    found: list[str | None] = [None] * len(groups)
    known = _labels([groups[index].config[key] for index in have])
    for index, label in zip(have, known, strict=True):
        found[index] = label
    return found


def _levels(labels: Sequence[str | None], values: NDArray[np.float64]) -> tuple[Level, ...]:
    members: dict[str, list[float]] = {}
    for label, value in zip(labels, values, strict=True):
        if label is not None:
            members.setdefault(label, []).append(float(value))
    return tuple(
        Level(label, mean(members[label]), tuple(members[label])) for label in _ordered(labels)
    )


def _labels(values: Sequence[Any]) -> list[str | None]:
    """A label for each value; None for those of rare values, which are left out."""
    distinct = {canonical_json(value): value for value in values}
    numbers = all(_is_number(value) for value in distinct.values())
    if len(distinct) > MOST_LEVELS and numbers:
        return list(_quarters([float(value) for value in values]))
    texts = [value_text(value, 18) for value in values]
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    kept = set(sorted(counts, key=lambda text: -counts[text])[:MOST_LEVELS])
    return [text if text in kept else None for text in texts]


def _quarters(values: Sequence[float]) -> list[str]:
    array = np.array(values)
    ranks = stats.rankdata(array, method="dense") - 1
    bins = np.minimum((ranks * _QUARTERS / (ranks.max() + 1)).astype(int), _QUARTERS - 1)
    ends = {
        int(quarter): (array[bins == quarter].min(), array[bins == quarter].max())
        for quarter in np.unique(bins)
    }
    return [f"{ends[int(b)][0]:.2g} to {ends[int(b)][1]:.2g}" for b in bins]


def _ordered(labels: Sequence[str | None]) -> list[str]:
    """Labels in order: numbers (and ranges, by their beginning) by size, texts as they came."""
    known = list(dict.fromkeys(label for label in labels if label is not None))
    try:
        return sorted(known, key=lambda label: float(label.split(" to ")[0]))
    except ValueError:
        return sorted(known)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


class _Model:
    """A linear model: each value is a sum of one term for each key, fitted by least squares."""

    def __init__(
        self, values: NDArray[np.float64], keys: Sequence[Sequence[str | None]], blocks: int
    ) -> None:
        values = values / scale_of(values)  # shares do not depend on it
        self._values = values - values.mean()
        self._total = float((self._values**2).sum())
        self._designs = [_design(labels) for labels in keys]
        self._blocks = blocks
        rest, self._full_rank = self._fit(self._designs)
        self._full_rest = rest
        self._df = len(values) - self._full_rank - (blocks - 1)

    def importance(self, place: int) -> tuple[float | None, bool]:
        """Epsilon squared of a key, and whether it is not significant by the F test."""
        others = self._designs[:place] + self._designs[place + 1 :]
        rest, rank, df = self._full_rest, self._full_rank, self._df
        if df < _LEAST_DF:  # too few configs for all keys at once: each by itself
            others = []
            rest, rank = self._fit([self._designs[place]])
            df = len(self._values) - rank - (self._blocks - 1)
        rest_without, rank_without = self._fit(others)
        between_df = rank - rank_without
        if between_df < 1 or df < 1:
            return None, True
        if self._total <= 0:
            return 0.0, True
        between = max(rest_without - rest, 0.0)
        if rest <= 1e-12 * self._total:
            return min(1.0, between / self._total), between <= 1e-12 * self._total
        square = rest / df
        share = max(0.0, (between - between_df * square) / self._total)
        p = float(stats.f.sf(between / between_df / square, between_df, df))
        return min(share, 1.0), p > ALPHA

    def _fit(self, designs: Sequence[NDArray[np.float64]]) -> tuple[float, int]:
        """The residual sum of squares, and the rank of the model with its mean."""
        columns = np.hstack([np.ones((len(self._values), 1)), *designs])
        solved, _, rank, _ = np.linalg.lstsq(columns, self._values, rcond=1e-10)
        return float(((self._values - columns @ solved) ** 2).sum()), int(rank)


def _design(labels: Sequence[str | None]) -> NDArray[np.float64]:
    known = list(dict.fromkeys(labels))
    place = {label: index for index, label in enumerate(known)}
    design = np.zeros((len(labels), len(known)))
    design[np.arange(len(labels)), [place[label] for label in labels]] = 1.0
    return design
