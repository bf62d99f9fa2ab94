"""Means, deviations and changes of numbers of any size: nothing ends in an OverflowError."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_LARGE = 1e100
_SMALL = 1e-280


def mean(values: Sequence[float]) -> float:
    """The mean of one finite number or more."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        scale = max(map(abs, values))
        return math.fsum(value / scale for value in values) / len(values) * scale


def deviation(values: Sequence[float], mean: float) -> float | None:
    """The sample standard deviation of two finite numbers or more, around their mean.

    None where it is larger than any float.
    """
    try:
        squares = math.fsum((value - mean) ** 2 for value in values)
    except OverflowError:
        squares = math.inf
    if _SMALL < squares < math.inf:
        return math.sqrt(squares / (len(values) - 1))
    scale = max(map(abs, values)) or 1.0  # squares are too large, too small to be exact, or zero
    squares = math.fsum((value / scale - mean / scale) ** 2 for value in values)
    found = math.sqrt(squares / (len(values) - 1)) * scale
    return found if math.isfinite(found) else None


def scale_of(values: Iterable[float]) -> float:
    """What to divide numbers by before they are squared: 1, or the size of the largest where its
    square might be too large or too small for a float."""
    size = max(map(abs, values), default=0.0)
    return size if size > _LARGE or 0 < size < 1 / _LARGE else 1.0


def expm1(value: float) -> float:
    """`math.expm1`, infinite where that is larger than any float."""
    try:
        return math.expm1(value)
    except OverflowError:
        return math.inf
