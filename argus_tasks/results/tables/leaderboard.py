"""The leaderboard: runs grouped over their seeds, sorted by a metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import MISSING, flatten
from argus_tasks.results.read.direction import Direction, guess_direction
from argus_tasks.results.read.rows import Row, codes_of
from argus_tasks.results.stats.moments import deviation, mean
from argus_tasks.results.stats.quantiles import t_975

SEED = "seed"
RESOURCES = ("duration_sec", "peak_ram_mb")
"""Keys of a run's record that can be compared like a metric."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of n finite numbers; None for one value, and where it is
    larger than any float.

    Of numbers that are not all finite, the mean is nan or an infinity, and there is no deviation.
    """

    mean: float
    std: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the 95 % interval of the mean, by Student's t; None for one value."""
        if self.std is None:
            return None
        half = t_975(self.n - 1) * self.std / math.sqrt(self.n)
        return half if math.isfinite(half) else None

    @property
    def low(self) -> float | None:
        """The lower end of the mean's 95 % interval."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end of the mean's 95 % interval."""
        return None if self.half_width is None else self.mean + self.half_width


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one experiment and code that differ only in their seed, or runs that have the same
    values of the given keys.

    `config` has the values of the leaderboard's `keys`, without keys that the config lacks.
    `metrics` has the metrics that are finite in every run that has them, `not_finite` the others:
    their mean is nan or an infinity, and n is the number of runs in which they are not finite.
    """

    config: dict[str, Any]
    metrics: dict[str, Spread]
    rows: tuple[Row, ...]
    not_finite: dict[str, Spread]

    @property
    def codes(self) -> list[str]:
        """The code versions of the runs that succeeded."""
        return codes_of(row for row in self.rows if row.status == "succeeded")

    @property
    def experiments(self) -> list[str]:
        """The experiments of the runs, each once."""
        return list(dict.fromkeys(row.experiment for row in self.rows if row.experiment))

    def spread(self, metric: str) -> Spread | None:
        """Mean and deviation of the metric, finite or not; None where no run has it."""
        return self.metrics.get(metric) or self.not_finite.get(metric)

    def count(self, status: str) -> int:
        """How many of the runs have the status."""
        return sum(row.status == status for row in self.rows)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Groups sorted by a metric, the best first; groups without it, and those in which it is not
    finite, are last.

    `keys` are the dotted config keys that vary, `constants` the values of those that do not.
    `metric` is None where no run has a number to show.
    """

    metric: str | None
    direction: Direction
    direction_is: str
    keys: tuple[str, ...]
    constants: dict[str, Any]
    metrics: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def has_codes(self) -> bool:
        """Whether the runs were made by different versions of the code."""
        return len({code for group in self.groups for code in group.codes}) > 1

    @property
    def has_experiments(self) -> bool:
        """Whether the runs are of different experiments."""
        return len({name for group in self.groups for name in group.experiments}) > 1

    def rank(self, index: int) -> int | None:
        """The place of a group, from 1; None for a group without a finite metric."""
        return index + 1 if self.metric in self.groups[index].metrics else None


def leaderboard(
    rows: Sequence[Row],
    metric: str | None = None,
    direction: Direction | None = None,
    group_by: Sequence[str] | None = None,
) -> Leaderboard:
    """The leaderboard of the rows.

    `metric`: a dotted key of `metrics.json`, or one of RESOURCES; by default the first metric of a
    run, if possible one that is finite. `direction`: by default guessed from the metric's name.
    `group_by`: dotted config keys; by default all but the seed. Errors: BadInput where no run has
    the metric or a key.
    """
    configs = [flatten(row.config) for row in rows]
    numbers = [numbers_of(row, metric) | not_finite_of(row) for row in rows]
    names = tuple(dict.fromkeys(name for found in numbers for name in found))
    if metric is None:
        finite = (name for row in rows for name in numbers_of(row))
        metric = next(finite, names[0] if names else None)
    elif metric not in names:
        raise BadInput(
            f"no run has a metric {metric!r}; there are "
            f"{', '.join(names) or 'none'}.{did_you_mean(metric, names)}"
        )
    known = dict.fromkeys(key for config in configs for key in config)
    for key in group_by or ():
        if key not in known:
            raise BadInput(
                f"no run has a config key {key!r} to group by; there are "
                f"{', '.join(known) or 'none'}.{did_you_mean(key, known)}"
            )
    constants = _constants(configs, known)
    keys = tuple(group_by or (key for key in known if key not in constants and key != SEED))
    guessed = guess_direction(metric) if metric else None
    groups = _groups(rows, configs, numbers, keys, names, apart=group_by is None)
    chosen = direction or guessed or "min"
    return Leaderboard(
        metric=metric,
        direction=chosen,
        direction_is="given" if direction else "by its name" if guessed else "assumed",
        keys=keys,
        constants={key: value for key, value in constants.items() if key not in keys},
        metrics=names,
        groups=tuple(sorted(groups, key=lambda group: _place(group, metric, chosen))),
    )


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and sample standard deviation; None where there are no values."""
    found = list(values)
    if not found:
        return None
    if len(found) == 1:
        return Spread(found[0], None, 1)
    middle = mean(found)
    return Spread(middle, deviation(found, middle), len(found))


def _groups(
    rows: Sequence[Row],
    configs: Sequence[dict[str, Any]],
    numbers: Sequence[dict[str, float]],
    keys: Sequence[str],
    names: Sequence[str],
    *,
    apart: bool,
) -> list[Group]:
    members: dict[str, list[int]] = {}
    for index, config in enumerate(configs):
        text = canonical_json({key: config[key] for key in keys if key in config})
        if apart:  # runs of other code are no repeats
            text += f"\n{rows[index].experiment}\n{rows[index].code}"
        members.setdefault(text, []).append(index)
    groups = []
    for indexes in members.values():
        metrics, not_finite = {}, {}
        for name in names:
            values = [numbers[index][name] for index in indexes if name in numbers[index]]
            odd = [value for value in values if not math.isfinite(value)]
            if odd:
                not_finite[name] = Spread(sum(odd), None, len(odd))
            elif found := spread(values):
                metrics[name] = found
        config = configs[indexes[0]]
        groups.append(
            Group(
                config={key: config[key] for key in keys if key in config},
                metrics=metrics,
                rows=tuple(rows[index] for index in indexes),
                not_finite=not_finite,
            )
        )
    return groups


def _place(group: Group, metric: str | None, direction: Direction) -> tuple[bool, float]:
    found = group.metrics.get(metric) if metric else None
    if found is None:
        return (True, 0.0)
    return (False, found.mean if direction == "min" else -found.mean)


def _constants(configs: Sequence[dict[str, Any]], known: Iterable[str]) -> dict[str, Any]:
    """The keys that every config has with the same value."""
    constants = {}
    for key in known:
        first = configs[0].get(key, MISSING)
        text = canonical_json(first)
        if all(_same(config.get(key, MISSING), first, text) for config in configs):
            constants[key] = first
    return constants


def _same(value: Any, first: Any, text: str) -> bool:
    if value is MISSING or first is MISSING:
        return False
    if isinstance(value, str) and isinstance(first, str):
        return value == first
    return canonical_json(value) == text


def numbers_of(row: Row, metric: str | None = None) -> dict[str, float]:
    """The run's metrics that are finite numbers, by dotted key.

    Where `metric` is one of RESOURCES and the run's own metrics have none of that name, it is there
    too, for a run that succeeded.
    """
    found = {name: value for name, value in flatten(row.metrics).items() if _is_number(value)}
    if metric in RESOURCES and metric not in found and row.status == "succeeded":
        value = getattr(row, metric)
        if value is not None:
            found[metric] = value
    return found


def not_finite_of(row: Row) -> dict[str, float]:
    """The run's metrics that are nan or an infinity, by dotted key."""
    return {
        name: value
        for name, value in flatten(row.metrics).items()
        if isinstance(value, float) and not math.isfinite(value)
    }


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False
