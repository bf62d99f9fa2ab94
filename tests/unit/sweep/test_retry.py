"""`retry_on` matches a class and all that inherit from it."""

from __future__ import annotations

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.sweep.retry import RetryPolicy


def kinds(error: type[BaseException]) -> tuple[str, ...]:
    return tuple(kind.__name__ for kind in error.__mro__)


@pytest.mark.parametrize(
    ("retry_on", "error", "again"),
    [
        (("Exception",), ValueError, True),
        (("Exception",), KeyboardInterrupt, False),
        (("OSError",), ConnectionResetError, True),
        (("ConnectionResetError",), OSError, False),
        (("KeyError", "ValueError"), ValueError, True),
        ((), ValueError, False),
    ],
)
def test_names_match_the_class_and_its_bases(
    retry_on: tuple[str, ...], error: type[BaseException], again: bool
) -> None:
    assert RetryPolicy(2, retry_on).wants(kinds(error), 1) is again


def test_every_try_counts() -> None:
    policy = RetryPolicy(3)
    assert [policy.wants(kinds(ValueError), attempt) for attempt in (1, 2, 3)] == [
        True,
        True,
        False,
    ]
    assert not RetryPolicy(1).wants(kinds(ValueError), 1)
    assert not RetryPolicy(0).wants(kinds(ValueError), 1)


def test_delays_grow_by_the_factor() -> None:
    policy = RetryPolicy(4, delay_s=2, backoff=3)
    assert [policy.delay_after(attempt) for attempt in (1, 2, 3)] == [2, 6, 18]


def test_a_text_is_no_list_of_names() -> None:
    with pytest.raises(BadInput, match=r"retry_on is 'ValueError'; expected a list"):
        RetryPolicy.names("ValueError")
