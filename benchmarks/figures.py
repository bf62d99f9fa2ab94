"""What benchmarks claim: figures, each with its spread, in one form for all of them.

A figure is a dict: `unit`, `median`, `min`, `max`, `pairs` (how many readings it is the median of).
Units say which way is better: of a `share` more, of everything else less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness import summary

RATIO, SHARE = "ratio", "share"

Figure = Mapping[str, Any]
Figures = dict[str, dict[str, Any]]


def figure(values: Iterable[float], unit: str) -> dict[str, Any]:
    """Median and spread of the readings. Errors: IndexError where there are none."""
    listed = list(values)
    return {"unit": unit, **summary(listed), "pairs": len(listed)}


def ratio_figure(ours: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """Ours over the peer's, by turns: 0.5 is half. Both have all the turns."""
    return figure((mine / theirs for mine, theirs in zip(ours, peer, strict=True)), RATIO)


def more_is_better(unit: str) -> bool:
    """Whether a greater figure of this unit is the better one."""
    return unit == SHARE


def meets(found: Figure, target: float) -> bool:
    """Whether the figure's median is at least as good as the target."""
    median = float(found["median"])
    return median >= target if more_is_better(found["unit"]) else median <= target


def shown(value: float, unit: str) -> str:
    """A value with its unit, as a table has it."""
    if unit in (RATIO, "×"):
        return f"{value:.2f}×" if value >= 0.1 else f"{value:.3f}×"
    if unit == SHARE:
        return f"{100 * value:.1f} %"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}".rstrip()
