"""`retry_on` matches a class and all that inherit from it."""

from __future__ import annotations

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.options import override
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.sweep_spec import SweepSpec


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
    assert RetryPolicy(2, retry_on).allows(kinds(error), 1) is again


def test_every_try_counts() -> None:
    policy = RetryPolicy(3)
    assert [policy.allows(kinds(ValueError), attempt) for attempt in (1, 2, 3)] == [
        True,
        True,
        False,
    ]
    assert not RetryPolicy(1).allows(kinds(ValueError), 1)
    assert not RetryPolicy(0).allows(kinds(ValueError), 1)


def test_delays_grow_by_the_factor() -> None:
    policy = RetryPolicy(4, delay_s=2, backoff=3)
    assert [policy.delay_after(attempt) for attempt in (1, 2, 3)] == [2, 6, 18]


def test_a_text_is_no_list_of_names() -> None:
    with pytest.raises(BadInput, match=r'retry_on is "ValueError"; expected a list'):
        override(SweepSpec(), {"retry_on": "ValueError"})


def test_causes_of_death_are_names_too() -> None:
    policy = RetryPolicy(2, ("timeout", "signal SIGSEGV", "exit 3"))
    assert policy.allows(("timeout", "Timeout", "Exception"), 1)
    assert policy.allows(("signal SIGSEGV", "WorkerDied", "Exception"), 1)
    assert not policy.allows(("exit 1", "WorkerDied", "Exception"), 1)


def test_a_lost_node_gives_a_free_retry_unless_not_on_names_it() -> None:
    assert RetryPolicy(1, ()).allows_free_retry("node lost")
    assert not RetryPolicy(1, ()).allows_free_retry("out of memory")
    assert not RetryPolicy(1, ()).allows_free_retry(None)
    assert not RetryPolicy(9, not_on=("node lost",)).allows_free_retry("node lost")


def test_not_on_wins() -> None:
    policy = RetryPolicy(2, ("Exception",), not_on=("FileNotFoundError", "out of memory"))
    assert policy.allows(kinds(OSError), 1)
    assert not policy.allows(kinds(FileNotFoundError), 1)
    assert not policy.allows(("out of memory", "WorkerDied", "Exception"), 1)
    assert not RetryPolicy(2, not_on=("OSError",)).allows(kinds(FileNotFoundError), 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("out of memry", " Did you mean 'out of memory'?"), ("signal 9x", ""), ("a.b.Error", "")],
)
def test_what_is_neither_class_nor_cause_is_refused(name: str, hint: str) -> None:
    for key in ("retry_on", "not_on"):
        with pytest.raises(BadInput) as refused:
            RetryPolicy(**{key: (name,)})
        assert str(refused.value).startswith(f"{key} has '{name}'; expected names of exception")
        assert str(refused.value).endswith(f"signal NAME.{hint}")
