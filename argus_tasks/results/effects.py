"""What each config key does to a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import flatten
from argus_tasks.results.leaderboard import Spread, leaderboard, numbers_of, spread
from argus_tasks.results.rows import Row


@dataclass(frozen=True, slots=True)
class Effect:
    """One config key.

    Attributes:
        key: the dotted key.
        importance: the share of the metric's variance over runs that goes with the key's value, 0
            to 1. Keys that vary together share it: it says where to look, not what is the cause.
        values: each value with the metric's mean and spread there, in the order of the values.
    """

    key: str
    importance: float
    values: tuple[tuple[Any, Spread], ...]


def parameter_effects(
    rows: Sequence[Row], metric: str | None = None, within: str | None = None
) -> list[Effect]:
    """The effect of every key that varies, the most important first.

    `within`: a config key (the dataset) that sets the metric's scale: each run is taken relative to
    the mean of those that share its value, and the key itself is left out. A key with a value of
    its own in every run explains everything and says nothing: it is left out, too. Errors:
    BadInput, where no run has the metric or the key.
    """
    board = leaderboard(rows, metric, group_by=[within] if within else None)
    if board.metric is None:
        raise BadInput("no run has a metric that is a number.")
    numbers = [numbers_of(row, board.metric).get(board.metric) for row in rows]
    configs = [flatten(row.config) for row in rows]
    scored = [
        (config, value) for config, value in zip(configs, numbers, strict=True) if value is not None
    ]
    if within:
        scored = _relative(scored, within)
    found = []
    for key in dict.fromkeys(key for config, _ in scored for key in config):
        if key != within:
            effect = _effect(key, scored)
            if effect is not None:
                found.append(effect)
    return sorted(found, key=lambda effect: -effect.importance)


def _relative(
    scored: Sequence[tuple[dict[str, Any], float]], key: str
) -> list[tuple[dict[str, Any], float]]:
    parts: dict[str, list[tuple[dict[str, Any], float]]] = {}
    for config, value in scored:
        parts.setdefault(canonical_json(config.get(key)), []).append((config, value))
    found = []
    for part in parts.values():
        mean = math.fsum(value for _, value in part) / len(part)
        found += [(config, value / mean if mean else value) for config, value in part]
    return found


def _effect(key: str, scored: Sequence[tuple[dict[str, Any], float]]) -> Effect | None:
    parts: dict[str, tuple[Any, list[float]]] = {}
    for config, value in scored:
        given = config.get(key)
        parts.setdefault(canonical_json(given), (given, []))[1].append(value)
    if not 1 < len(parts) < len(scored):
        return None
    mean = math.fsum(value for _, value in scored) / len(scored)
    total = math.fsum((value - mean) ** 2 for _, value in scored)
    spreads = [(given, found) for given, values in parts.values() if (found := spread(values))]
    between = math.fsum(found.n * (found.mean - mean) ** 2 for _, found in spreads)
    return Effect(key, between / total if total else 0.0, tuple(sorted(spreads, key=_order)))


def _order(value: tuple[Any, Spread]) -> tuple[bool, float, str]:
    given = value[0]
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return (not is_number, float(given) if is_number else 0.0, str(given))
