"""Random draws that are the same on every machine and with every version of Python."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from argus_tasks.spec.config_sections import Distribution, RandomDraws


def draw_all(random: RandomDraws) -> list[dict[str, Any]]:
    """The `n` draws; each has a value for every key of the space.

    Each key has its own random stream, seeded by the seed and the key, so another key in the space
    or a larger n leaves the existing draws unchanged.
    """
    columns: dict[str, list[Any]] = {}
    for key, distribution in random.space.items():
        stream = Random(f"{random.seed}/{key}")
        columns[key] = [_draw(distribution, stream.random()) for _ in range(random.n)]
    return [{key: column[index] for key, column in columns.items()} for index in range(random.n)]


def _draw(distribution: Distribution, at: float) -> Any:
    """The value at a position 0 <= at < 1. Only `Random.random` is the same in all versions of
    Python."""
    if distribution.uniform is not None:
        low, high = distribution.uniform
        return _rounded(low + (high - low) * at, low, high)
    if distribution.log_uniform is not None:
        low, high = distribution.log_uniform
        step = math.log(high) - math.log(low)
        return _rounded(math.exp(math.log(low) + step * at), low, high)
    if distribution.integers is not None:
        first, last = distribution.integers
        return first + int((last - first + 1) * at)
    values = distribution.choice or []
    return values[int(len(values) * at)]


def _rounded(value: float, low: float, high: float) -> float:
    """The value with six significant digits, which are the same with every C library."""
    return float(min(max(float(f"{value:.6g}"), low), high))
