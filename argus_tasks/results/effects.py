"""What each config key does to the metric, and how much of the differences it explains.

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
from argus_tasks.results.axes import Axes
from argus_tasks.results.leaderboard import Group, Leaderboard
from argus_tasks.results.table import keys_shown, value_text

MOST_LEVELS = 8
"""A number with more values than this is cut into quarters; of other keys the rest is left out."""
_QUARTERS = 4
ALPHA = 0.05

METHOD = (
    "Share of the metric's variance between configs that a key explains on its own (epsilon"
    " squared: analysis of variance, corrected for what chance explains; F test at 5 %). A number"
    " with many values counts in quarters. What keys do only together is not seen."
)


@dataclass(frozen=True, slots=True)
class Level:
    """The configs with one value of a key (or a range of values): their mean and each one."""

    label: str
    mean: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a key does.

    `importance` is from 0 to 1, None where there are too few configs; `is_chance` where the F test
    does not tell it from chance.
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
    """The effects of the keys that tell the configs apart, the dataset's excepted."""
    groups = [group for group in board.groups if board.metric in group.metrics]
    keys = [key for key in keys_shown(board) if key != axes.dataset]
    if len(groups) < 2 or not keys:
        return Effects(None, ())
    assert board.metric is not None
    values = np.array([group.metrics[board.metric].mean for group in groups])
    blocks = 1
    if axes.dataset is not None:
        values, blocks = _within(values, [group.config.get(axes.dataset) for group in groups])
    found = [_effect(key, groups, values, blocks) for key in keys]
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
        own = values[indexes] - values[indexes].mean()
        spread = own.std()
        out[indexes] = own / spread if spread > 1e-12 * np.abs(values[indexes]).max() else 0.0
    return out, len(places)


def _effect(key: str, groups: Sequence[Group], values: NDArray[np.float64], blocks: int) -> Effect:
    have = [index for index, group in enumerate(groups) if key in group.config]
    labels = _labels([groups[index].config[key] for index in have])
    members: dict[str, list[float]] = {}
    for index, label in zip(have, labels, strict=True):
        if label is not None:
            members.setdefault(label, []).append(float(values[index]))
    order = _ordered(labels)
    levels = tuple(
        Level(label, float(np.mean(members[label])), tuple(members[label])) for label in order
    )
    importance, is_chance = _importance([level.values for level in levels], blocks)
    return Effect(key, levels, importance, is_chance)


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
    return [f"{ends[int(b)][0]:.3g} to {ends[int(b)][1]:.3g}" for b in bins]


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


def _importance(levels: Sequence[Sequence[float]], blocks: int) -> tuple[float | None, bool]:
    """Epsilon squared, and whether the F test cannot tell it from chance."""
    arrays = [np.array(level) for level in levels]
    every = np.concatenate(arrays)
    between_df = len(arrays) - 1
    within_df = len(every) - len(arrays) - (blocks - 1)
    total = float(((every - every.mean()) ** 2).sum())
    if between_df < 1 or within_df < 1:
        return None, True
    if total <= 0:
        return 0.0, True
    within = float(sum(((array - array.mean()) ** 2).sum() for array in arrays))
    between = max(total - within, 0.0)
    mean_square = within / within_df
    share = max(0.0, (between - between_df * mean_square) / total)
    if within <= 1e-12 * total:
        return 1.0, False
    p = float(stats.f.sf(between / between_df / mean_square, between_df, within_df))
    return min(share, 1.0), p > ALPHA
