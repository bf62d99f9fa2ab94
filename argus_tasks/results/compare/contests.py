"""The best model on each dataset, by how much it leads, and whether that exceeds seed noise.

Needs SciPy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from argus_tasks.base.ids import canonical_json
from argus_tasks.results.compare.verdict import ROUNDING
from argus_tasks.results.stats.moments import scale_of
from argus_tasks.results.stats.tests import Floats, judge
from argus_tasks.results.tables.axes import Axes, group_names
from argus_tasks.results.tables.leaderboard import Group, Leaderboard, Spread

ALPHA = 0.05


class Noise(StrEnum):
    """How a lead compares with the spread over seeds."""

    BEYOND = "more than seed noise"
    WITHIN = "within seed noise"
    NONE = "seeds change nothing"
    TIE = "a tie"
    UNKNOWN = "too few seeds"
    ALONE = "nothing to compare with"


@dataclass(frozen=True, slots=True)
class Contest:
    """The best model or config on one dataset, and the second best.

    Attributes:
        dataset: the dataset's value; None where the runs have no dataset key that varies.
        winner: the model's value, or the config's short name where no key is the model.
        group: the winner's best config.
        second: the rival's name; None where there is none.
        second_group: the rival's best config.
        lead: how much better the winner's mean is, 0 or more, in the metric's unit.
        share: the lead as a share of the rival's mean; None where that is 0.
        low: lower end of the lead's interval (95 % for all contests together); None without noise.
        high: its upper end.
        noise: how the lead compares with seed noise.
    """

    dataset: Any
    winner: str
    group: Group
    second: str | None
    second_group: Group | None
    lead: float
    share: float | None
    low: float | None
    high: float | None
    noise: Noise


def contests(board: Leaderboard, axes: Axes) -> tuple[Contest, ...]:
    """One contest for each dataset, in the order of the runs.

    A model is represented by its best config. The best two are compared by Welch's t-test,
    two-sided, in which four contests or more share their noise estimates (see
    `results.stats.tests`), with Holm's correction for their number. That the two were picked as the
    best makes the test more careful, not less: the gap between neighbours in a ranking is smaller
    than that of any two.
    """
    if board.metric is None:
        return ()
    names = group_names(board, without=axes.dataset)
    fields: dict[str, list[Group]] = {}
    for group in sorted(board.groups, key=lambda group: _first_id(group.rows)):
        if board.metric in group.metrics:
            where = group.config.get(axes.dataset) if axes.dataset else None
            fields.setdefault(canonical_json(where), []).append(group)
    found = [_contest(field, board, axes, names) for field in fields.values()]
    return tuple(_judged(found, board.metric))


def _first_id(rows: Sequence[Any]) -> str:
    return min(str(row.run_id) for row in rows)


def _contest(
    field: Sequence[Group], board: Leaderboard, axes: Axes, names: dict[int, str]
) -> Contest:
    sign = 1.0 if board.direction == "min" else -1.0
    ranked = sorted(field, key=lambda group: sign * _of(group, board).mean)
    first = ranked[0]
    where = first.config.get(axes.dataset) if axes.dataset else None
    rivals = ranked[1:]
    if axes.model is not None:
        own = first.config.get(axes.model)
        rivals = [group for group in rivals if group.config.get(axes.model) != own]
    name = _competitor(first, axes, names)
    if not rivals:
        return Contest(where, name, first, None, None, 0.0, None, None, None, Noise.ALONE)
    second = rivals[0]
    mean = _of(second, board).mean
    lead = sign * (mean - _of(first, board).mean)
    share = lead / abs(mean) if mean else None
    rival = _competitor(second, axes, names)
    return Contest(where, name, first, rival, second, lead, share, None, None, Noise.UNKNOWN)


def _competitor(group: Group, axes: Axes, names: dict[int, str]) -> str:
    if axes.model is not None and axes.model in group.config:
        value = group.config[axes.model]
        return value if isinstance(value, str) else str(value)
    return names[id(group)]


def _of(group: Group, board: Leaderboard) -> Spread:
    assert board.metric is not None
    return group.metrics[board.metric]


def _judged(found: Sequence[Contest], metric: str) -> Iterable[Contest]:
    """The contests with the results of their tests."""
    judged = list(found)
    noisy: list[int] = []
    for index, contest in enumerate(found):
        if contest.second_group is None:
            continue
        first, second = contest.group.metrics[metric], contest.second_group.metrics[metric]
        if first.std is None or second.std is None:
            continue
        rounding = ROUNDING * max(abs(first.mean), abs(second.mean))
        if max(first.std, second.std) <= rounding:
            noise = Noise.NONE if contest.lead > rounding else Noise.TIE
            judged[index] = replace(contest, noise=noise)
        else:
            noisy.append(index)
    if not noisy:
        return judged
    scales = _scales([judged[index] for index in noisy], metric)
    tests = [
        _welch(judged[index], metric, scale) for index, scale in zip(noisy, scales, strict=True)
    ]
    effects = np.array([judged[index].lead for index in noisy]) / scales
    variance, df = np.array(tests).T
    # A lead is positive by construction, so each one-sided test gets half of the level.
    ruled = judge(effects, variance, df, np.ones_like(variance), ALPHA / 2)
    for place, index in enumerate(noisy):
        judged[index] = replace(
            judged[index],
            low=float(ruled.low[place] * scales[place]),
            high=float(ruled.high[place] * scales[place]),
            noise=Noise.BEYOND if ruled.p_up[place] <= ALPHA / 2 else Noise.WITHIN,
        )
    return judged


def _scales(found: Sequence[Contest], metric: str) -> Floats:
    """The scale of each contest, by which its numbers are divided so that noise can be compared.

    1 where all numbers are of one size, such as accuracies; else the rival's mean, for example for
    squared errors of different series. The largest of all where its square might be no float.
    """
    seconds = [c.second_group.metrics[metric] for c in found if c.second_group is not None]
    means = [abs(second.mean) for second in seconds]
    if min(means) > 0 and max(means) > 30 * min(means):
        return np.array(means)
    firsts = [contest.group.metrics[metric] for contest in found]
    stds = [each.std or 0.0 for each in (*firsts, *seconds)]
    return np.full(len(means), scale_of([*means, *stds]))


def _welch(contest: Contest, metric: str, scale: float) -> tuple[float, float]:
    """The variance of the difference of two means, and its degrees of freedom."""
    assert contest.second_group is not None
    first, second = contest.group.metrics[metric], contest.second_group.metrics[metric]
    largest = max(first.std or 0.0, second.std or 0.0)  # above 0: the others are not tested
    one, two = (((each.std or 0.0) / largest) ** 2 / each.n for each in (first, second))
    below = one**2 / (first.n - 1) + two**2 / (second.n - 1)
    size = min(largest / scale, 1e150)
    return max((one + two) * size**2, sys.float_info.min), (one + two) ** 2 / below
