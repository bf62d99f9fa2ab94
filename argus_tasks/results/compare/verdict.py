"""The verdict on two sides, for each cell and overall: better, worse, no evidence, not
comparable."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.results.compare.sides import Side, cell_config
from argus_tasks.results.read.direction import Direction, guess_direction
from argus_tasks.results.read.rows import Row
from argus_tasks.results.stats.min_effect import ANY_EFFECT, RESOURCE_EFFECT, MinEffect
from argus_tasks.results.stats.moments import expm1, scale_of
from argus_tasks.results.stats.tests import ALPHA, judge
from argus_tasks.results.tables.leaderboard import (
    RESOURCES,
    SEED,
    Spread,
    not_finite_of,
    numbers_of,
    spread,
)

LEAST_REPEATS = 3
"""Repeats that each side needs to separate a change from noise (two are enough without noise)."""
ROUNDING = 1e-6
"""Numbers that differ by less than this share are equal."""
CHECKS = ("host", "data", "code")
"""What must be equal in two cells to compare them, unless it is allowed to differ."""


class Verdict(StrEnum):
    """The verdict on a cell, or on a whole comparison."""

    WORSE = "worse"
    BETTER = "better"
    NO_EVIDENCE = "no evidence"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Cell:
    """One config on both sides, with all its repeats.

    Attributes:
        key: its config as canonical JSON, which identifies the cell.
        config: the config without seed, data version and the keys that either side ignores.
        verdict: the verdict on this cell.
        reason: why it is not comparable; empty otherwise.
        before: mean, spread and number of the first side's values; None where it has none.
        after: the same of the second side.
        change: how much the second mean is above the first: a share of it, or, where the comparison
            is not `relative`, a difference in the metric's unit; None where not comparable.
        low: lower end of the interval around `change`, corrected for the number of cells.
        high: its upper end.
        p: the adjusted p-value of the verdict; for no evidence the smaller of the two.
        pairs: how many pairs of equal seeds were compared; 0 where the sides are two samples.
    """

    key: str
    config: dict[str, Any]
    verdict: Verdict
    reason: str
    before: Spread | None
    after: Spread | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    pairs: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of two sides by one metric. `verdict` is worse if any cell is worse, better if
    any cell is better and none is worse, and not comparable if no cell is comparable."""

    metric: str
    direction: Direction
    min_effect: MinEffect
    relative: bool
    before: Side
    after: Side
    verdict: Verdict
    cells: tuple[Cell, ...]

    @property
    def worse(self) -> tuple[Cell, ...]:
        """The cells that are worse."""
        return self.those(Verdict.WORSE)

    @property
    def ignore_keys(self) -> frozenset[str]:
        """The config keys that either side ignores."""
        return frozenset((*self.before.ignore_keys, *self.after.ignore_keys))

    def those(self, verdict: Verdict) -> tuple[Cell, ...]:
        """The cells with that verdict."""
        return tuple(cell for cell in self.cells if cell.verdict is verdict)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The numbers of one comparable cell, on the scale of the test."""

    index: int
    effect: float
    variance: float
    df: float
    share: float
    pairs: int
    is_change: bool | None  # for a cell without variance: whether it is a change


def compare(
    before: Side,
    after: Side,
    metric: str | None = None,
    direction: Direction | None = None,
    min_effect: MinEffect | None = None,
    *,
    allow: Collection[str] = (),
    alpha: float = ALPHA,
) -> Comparison:
    """Decide for each cell, and overall, whether `after` is better or worse than `before`.

    If nothing has changed, at most a share `alpha` of comparisons find any cell worse, and as many
    find any better. `metric`: by default the first metric of the runs. `direction`: by default
    guessed from the metric's name. `min_effect`: smaller differences are ignored (by default none;
    for time and memory, differences under 5 %). `allow`: which of CHECKS may differ. Errors:
    BadInput for a metric that no run has, and where the direction is not given and cannot be
    guessed.
    """
    for name in allow:
        if name not in CHECKS:
            raise BadInput(f"allow has {name!r}; expected {', '.join(CHECKS)}.")
    metric = _metric(metric, (*before.rows, *after.rows))
    if min_effect is None:
        min_effect = RESOURCE_EFFECT if metric in RESOURCES else ANY_EFFECT
    chosen = direction or guess_direction(metric)
    if chosen is None:
        raise BadInput(
            f"whether less or more of {metric!r} is better cannot be guessed from its name; add"
            " --direction min or max."
        )
    ignored = {*before.ignore_keys, *after.ignore_keys}
    firsts, seconds = before.cells(ignored), after.cells(ignored)
    keys = list(dict.fromkeys([*firsts, *seconds]))
    pairs = [(firsts.get(key, []), seconds.get(key, [])) for key in keys]
    reasons = [
        _other_experiment(before, after) or _obstacle(first, second, metric, allow)
        for first, second in pairs
    ]
    values = [(_values(first, metric), _values(second, metric)) for first, second in pairs]
    open_ = [index for index, reason in enumerate(reasons) if not reason]
    numbers = [number for index in open_ for side in values[index] for number in _flat(side)]
    relative = all(number > 0 for number in numbers)
    scale = 1.0 if relative else scale_of(numbers)
    evidence = []
    for index in open_:
        found = _evidence(index, *values[index], relative=relative, scale=scale)
        if found is None:
            reasons[index] = _too_few(*values[index])
        else:
            evidence.append(found)
    judged = _judge(evidence, alpha)
    cells = []
    for index, (key, (first, second)) in enumerate(zip(keys, pairs, strict=True)):
        means = _spread(values[index][0]), _spread(values[index][1])
        config = cell_config((second or first)[0].config, ignored)
        if index in judged:
            cell = _cell(
                key, config, means, judged[index], chosen, min_effect, relative, scale, alpha
            )
        else:
            cell = Cell(key, config, Verdict.NOT_COMPARABLE, reasons[index], *means)
        cells.append(cell)
    return Comparison(
        metric=metric,
        direction=chosen,
        min_effect=min_effect,
        relative=relative,
        before=before,
        after=after,
        verdict=_over_all(cells),
        cells=tuple(cells),
    )


@dataclass(frozen=True, slots=True)
class _Ruling:
    evidence: _Evidence
    p_up: float
    p_down: float
    low: float
    high: float


def _judge(evidence: Sequence[_Evidence], alpha: float) -> dict[int, _Ruling]:
    """Test the cells that have noise; the others need no test."""
    rulings = {
        found.index: _Ruling(
            found,
            0.0 if found.is_change and found.effect > 0 else 1.0,
            0.0 if found.is_change and found.effect < 0 else 1.0,
            found.effect,
            found.effect,
        )
        for found in evidence
        if found.is_change is not None
    }
    noisy = [found for found in evidence if found.is_change is None]
    if noisy:
        judged = judge(
            np.array([found.effect for found in noisy]),
            np.array([found.variance for found in noisy]),
            np.array([found.df for found in noisy]),
            np.array([found.share for found in noisy]),
            alpha,
        )
        columns = (judged.p_up, judged.p_down, judged.low, judged.high)
        for position, found in enumerate(noisy):
            rulings[found.index] = _Ruling(found, *(float(column[position]) for column in columns))
    return rulings


def _cell(
    key: str,
    config: dict[str, Any],
    means: tuple[Spread | None, Spread | None],
    ruling: _Ruling,
    direction: Direction,
    min_effect: MinEffect,
    relative: bool,
    scale: float,
    alpha: float,
) -> Cell:
    first, second = means
    assert first is not None
    assert second is not None
    change, low, high = (
        expm1(value) if relative else value * scale
        for value in (ruling.evidence.effect, ruling.low, ruling.high)
    )
    p_worse, p_better = (
        (ruling.p_up, ruling.p_down) if direction == "min" else (ruling.p_down, ruling.p_up)
    )
    verdict, p = Verdict.NO_EVIDENCE, min(p_worse, p_better)
    if min_effect.reached_by(change, first.mean, second.mean, relative=relative):
        if p_worse <= alpha:
            verdict = Verdict.WORSE
        elif p_better <= alpha:
            verdict = Verdict.BETTER
    pairs = ruling.evidence.pairs
    return Cell(key, config, verdict, "", first, second, change, low, high, p, pairs)


def _over_all(cells: Sequence[Cell]) -> Verdict:
    verdicts = {cell.verdict for cell in cells}
    if Verdict.WORSE in verdicts:
        return Verdict.WORSE
    if verdicts <= {Verdict.NOT_COMPARABLE}:
        return Verdict.NOT_COMPARABLE
    return Verdict.BETTER if Verdict.BETTER in verdicts else Verdict.NO_EVIDENCE


def _metric(metric: str | None, rows: Sequence[Row]) -> str:
    known = dict.fromkeys(name for row in rows for name in numbers_of(row, metric))
    if metric is None:
        if not known:
            raise BadInput("no run has a metric that is a number.")
        return next(iter(known))
    if metric not in known:
        names = ", ".join([*known, *RESOURCES])
        raise BadInput(
            f"no run has a metric {metric!r}; there are {names}.{did_you_mean(metric, known)}"
        )
    return metric


_Values = dict[Any, list[float]]


def _values(rows: Iterable[Row], metric: str) -> _Values:
    """The metric's values by seed."""
    found: _Values = {}
    for row in rows:
        value = numbers_of(row, metric).get(metric)
        if value is not None:
            found.setdefault(str(row.config.get(SEED)), []).append(value)
    return found


def _flat(values: _Values) -> list[float]:
    return [number for found in values.values() for number in found]


def _spread(values: _Values) -> Spread | None:
    return spread(_flat(values))


def _other_experiment(before: Side, after: Side) -> str:
    if before.experiment and after.experiment and not _are_one(before.experiment, after.experiment):
        return f"another experiment: {before.experiment}, then {after.experiment}"
    return ""


def _are_one(before: str, after: str) -> bool:
    """Whether two names are of one experiment: `src/train.py:run` was `train:run` formerly."""
    return before == after or any(
        ".py:" in new and f".{new.replace('.py:', ':').replace('/', '.')}".endswith(f".{old}")
        for old, new in ((before, after), (after, before))
    )


def _obstacle(
    first: Sequence[Row], second: Sequence[Row], metric: str, allow: Collection[str]
) -> str:
    """Why the two sides of a cell cannot be compared; empty where they can."""
    for rows, where in ((first, "first"), (second, "second")):
        if not rows:
            return f"not in the {where}"
        odd = sum(metric in not_finite_of(row) for row in rows)
        if odd:
            return f"{metric} is not finite in {odd} of {len(rows)} runs of the {where}"
        if not _values(rows, metric):
            return f"no {metric} in the {where}: {_endings(rows)}"
    for check, what, key in (("data", "data", "data_version"), ("host", "host", "host_kind")):
        kinds = [
            sorted({v for row in rows if (v := getattr(row, key))}) for rows in (first, second)
        ]
        if check not in allow and all(kinds) and kinds[0] != kinds[1]:
            return f"other {what}: {'; '.join(kinds[0])}, then {'; '.join(kinds[1])}"
    for rows, where in ((first, "first"), (second, "second")):
        codes = {row.code for row in rows if row.code}
        if "code" not in allow and len(codes) > 1:
            return f"the {where}'s repeats ran different code: {', '.join(sorted(codes))}"
    return ""


def _endings(rows: Sequence[Row]) -> str:
    failed = [row for row in rows if row.status == "failed"]
    if not failed:
        return f"{len(rows)} {rows[0].status}"
    return f"{len(failed)} of {len(rows)} failed ({failed[-1].cause or failed[-1].error_type})"


def _too_few(first: _Values, second: _Values) -> str:
    return (
        f"too few repeats: {len(_flat(first))}, then {len(_flat(second))};"
        f" expected {LEAST_REPEATS} or more"
    )


def _evidence(
    index: int, first: _Values, second: _Values, *, relative: bool, scale: float
) -> _Evidence | None:
    """The cell's numbers for the test, divided by `scale`; None where there are too few."""
    size = max(abs(number) for number in (*_flat(first), *_flat(second))) / scale
    rounding = ROUNDING if relative else ROUNDING * size
    common = _pairs(first, second)
    if common:
        differences = [
            _scaled(second[seed][0], relative, scale) - _scaled(first[seed][0], relative, scale)
            for seed in common
        ]
        found = spread(differences)
        if found is None or found.std is None:
            return None
        effect, noise, least = found.mean, found.std, found.n
        variance, df, share = found.std**2, found.n - 1, 1 / found.n
    else:
        one = spread(_scaled(number, relative, scale) for number in _flat(first))
        two = spread(_scaled(number, relative, scale) for number in _flat(second))
        if one is None or two is None or one.std is None or two.std is None:
            return None
        effect, noise, least = two.mean - one.mean, max(one.std, two.std), min(one.n, two.n)
        df, share = one.n + two.n - 2, 1 / one.n + 1 / two.n
        variance = ((one.n - 1) * one.std**2 + (two.n - 1) * two.std**2) / df
    steady = noise <= rounding
    if least < LEAST_REPEATS and not steady:
        return None
    is_change = abs(effect) > rounding if steady else None
    variance = max(variance, sys.float_info.min)
    return _Evidence(index, effect, variance, df, share, len(common), is_change)


def _pairs(first: _Values, second: _Values) -> list[Any]:
    """The seeds of both sides, if they are to be compared in pairs: each seed occurs once, and the
    common ones are all, or most of them and enough."""
    if any(len(found) != 1 for side in (first, second) for found in side.values()):
        return []
    common = [seed for seed in first if seed in second]
    most = 2 * len(common) > max(len(first), len(second)) and len(common) >= LEAST_REPEATS
    return common if most or first.keys() == second.keys() else []


def _scaled(number: float, relative: bool, scale: float) -> float:
    return math.log(number) if relative else number / scale
