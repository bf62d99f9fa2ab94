"""How long an attempt may take."""

from __future__ import annotations

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.time_limit import ENOUGH, LEAST_S, TimeLimit, factor_of


def test_without_a_limit_there_is_none() -> None:
    limit = TimeLimit()
    limit.succeeded(3.0)
    assert limit.seconds() is None
    assert not limit.moves


def test_a_multiple_of_the_median_once_enough_have_succeeded() -> None:
    limit = TimeLimit(None, "5x")
    said = []
    for duration_s in (10.0, 30.0, 20.0, 100.0):
        said.append(limit.seconds())
        limit.succeeded(duration_s)
    assert ENOUGH == 3
    assert [*said, limit.seconds()] == [None, None, None, 100.0, 125.0]


def test_the_shorter_one_counts() -> None:
    limit = TimeLimit(60.0, "2.5x")
    assert limit.seconds() == 60.0
    for _ in range(ENOUGH):
        limit.succeeded(4.0)
    assert limit.seconds() == 10.0
    for _ in range(2 * ENOUGH):
        limit.succeeded(400.0)
    assert limit.seconds() == 60.0


def test_a_multiple_of_a_moment_is_no_limit() -> None:
    limit = TimeLimit(None, "2x")
    for _ in range(ENOUGH):
        limit.succeeded(0.001)
    assert limit.seconds() == LEAST_S


@pytest.mark.parametrize("timeout", ["5", "x", "1x", "0.5x", "-2x", "5 x", "", 5])
def test_what_is_no_multiple_is_refused(timeout: str) -> None:
    with pytest.raises(BadInput, match="expected a multiple of the median duration"):
        factor_of(timeout)
