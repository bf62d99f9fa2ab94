"""How a cost grows with n: its slope on paper that is logarithmic both ways.

A cost that grows as n log n has the slope 1 against n log n; a cost of its own that is there for
any n makes the slope of small n less. So the last step, between the two largest n, counts beside
the slope of all: the steeper one is the curve's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TOLERANCE = 0.1
"""A slope of 1.1 is called 1: figures have noise, and n of 10 makes a ratio of 1.26 of it."""

Points = Sequence[tuple[float, float]]
"""n, and what it costs."""


@dataclass(frozen=True)
class Growth:
    """How a curve grows.

    Attributes:
        linear: its slope against n; 1 is linear.
        n_log_n: its slope against n log n.
    """

    linear: float
    n_log_n: float

    @property
    def worse_than_linear(self) -> bool:
        """Beyond noise."""
        return self.linear > 1 + TOLERANCE

    @property
    def worse_than_n_log_n(self) -> bool:
        """Beyond noise."""
        return self.n_log_n > 1 + TOLERANCE


def growth(points: Points) -> Growth:
    """The growth of a curve of at least two points. Errors: ValueError with fewer."""
    ordered = sorted(points)
    if len({n for n, _ in ordered}) < 2:
        raise ValueError(f"growth needs two values of n, got {ordered}")

    def steepest(of: Callable[[float], float]) -> float:
        logs = [(math.log(of(n)), math.log(cost)) for n, cost in ordered]
        return max(slope(logs), slope(logs[-2:]))

    return Growth(steepest(lambda n: n), steepest(lambda n: n * math.log(n)))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line with the least squares."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    over = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return over / sum((x - middle_x) ** 2 for x, _ in points)
