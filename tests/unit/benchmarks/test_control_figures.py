"""The arithmetic of the control benchmark."""

from __future__ import annotations

import pytest

from benchmarks.control_figures import (
    ideal_at_limit_s,
    ideal_s,
    level_at,
    running_at,
    share_over,
)


def test_only_readings_while_more_than_one_runs_count() -> None:
    spans = [(0.0, 10.0), (4.0, 10.0)]
    samples = [(1.0, 100.0), (5.0, 90.0), (6.0, 74.0), (7.0, 76.0), (8.0, 60.0)]
    assert share_over(samples, spans, 70) == (0.5, 4)
    assert share_over(samples, spans[:1], 70) == (0.0, 0)
    assert running_at(spans, 4.0) == 2
    assert running_at(spans, 10.0) == 0


def test_the_ideal_follows_the_load_of_others() -> None:
    outside = [(0.0, 0.0), (10.0, 60.0)]
    assert level_at(outside, 9.9) == 0
    assert level_at(outside, 10.0) == 60

    def ideal(jobs: int, **changes: float) -> float:
        settings = {"cost_pct": 20.0, "threshold_pct": 80.0, "workers": 8} | changes
        return ideal_s(jobs, 1.0, 0.0, outside, **settings)  # type: ignore[arg-type]

    assert ideal(40) == pytest.approx(10, abs=0.1)  # four at a time
    assert ideal(50) == pytest.approx(20, abs=0.1)  # then one at a time
    assert ideal(10, cost_pct=90) == pytest.approx(10, abs=0.1)  # one always runs
    assert ideal(20, workers=2) == pytest.approx(10, abs=0.1)


def test_the_ideal_under_a_limit_that_changes() -> None:
    assert ideal_at_limit_s(40, 1.0, 0.0, [(0.0, 8.0), (2.5, 4.0)]) == pytest.approx(7.5, abs=0.1)
