"""What the control benchmark makes of its readings: pure functions of spans, samples and plans."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Spans = Sequence[tuple[float, float]]
Samples = Sequence[tuple[float, float]]
"""When, and what then (the CPU in percent, the load of others, a limit)."""

GRACE_PCT = 5.0
STEP_S = 0.05


def running_at(spans: Spans, at: float) -> int:
    """How many jobs run then."""
    return sum(begun <= at < ended for begun, ended in spans)


def share_over(samples: Samples, spans: Spans, threshold_pct: float) -> tuple[float, int]:
    """The share of readings over the threshold and GRACE_PCT, of those while more than one job ran;
    and how many readings those are."""
    counted = [busy for at, busy in samples if running_at(spans, at) > 1]
    over = sum(busy > threshold_pct + GRACE_PCT for busy in counted)
    return (over / len(counted) if counted else 0.0), len(counted)


def level_at(levels: Samples, at: float) -> float:
    """The level of a step function, given by its steps."""
    place = bisect_right([step for step, _ in levels], at)
    return levels[max(0, place - 1)][1]


def ideal_s(
    jobs: int,
    seconds: float,
    begun: float,
    outside: Samples,
    *,
    cost_pct: float,
    threshold_pct: float,
    workers: int,
) -> float:
    """The time that one takes who always runs just as many as there is room for, from `begun` on.

    One always runs. Jobs can be cut anywhere: no real order of starts is as good.
    """
    left, now = jobs * seconds, begun
    while left > 0:
        room_pct = threshold_pct - level_at(outside, now)
        left -= max(1, min(workers, int(room_pct / cost_pct + 1e-9))) * STEP_S
        now += STEP_S
    return now - begun


def ideal_at_limit_s(jobs: int, seconds: float, begun: float, limits: Samples) -> float:
    """The same under a limit that changes."""
    left, now = jobs * seconds, begun
    while left > 0:
        left -= level_at(limits, now) * STEP_S
        now += STEP_S
    return now - begun
