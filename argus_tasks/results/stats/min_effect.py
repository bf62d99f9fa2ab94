"""The smallest difference that counts: `2%` of the first side, or `0.01` in the metric's unit."""

from __future__ import annotations

from dataclasses import dataclass

from argus_tasks.base.errors import BadInput


@dataclass(frozen=True, slots=True)
class MinEffect:
    """`size` is a share of the first side's mean where `relative`, else in the metric's unit."""

    size: float
    relative: bool

    def __str__(self) -> str:
        return f"{self.size * 100:g}%" if self.relative else f"{self.size:g}"

    def reached_by(self, change: float, before: float, after: float, *, relative: bool) -> bool:
        """True where the change is at least this large.

        `change` is a share where `relative`, else a difference; `before` and `after` are means.
        """
        if not self.relative:
            return abs(after - before) >= self.size
        share = change if relative else change / abs(before) if before else float("inf")
        return abs(share) >= self.size


ANY_EFFECT = MinEffect(0.0, relative=True)
RESOURCE_EFFECT = MinEffect(0.05, relative=True)
"""Time and memory always differ a little between one hour and the next."""


def min_effect_of(text: str | float) -> MinEffect:
    """Parse `2%` or `0.01`. Errors: BadInput."""
    words = str(text).strip()
    try:
        if words.endswith("%"):
            found = MinEffect(float(words[:-1]) / 100, relative=True)
        else:
            found = MinEffect(float(words), relative=False)
    except ValueError:
        found = MinEffect(-1.0, relative=False)
    if not 0 <= found.size < float("inf"):
        raise BadInput(f"min-effect is {text!r}; expected such as 2% or 0.01, 0 or more.")
    return found
