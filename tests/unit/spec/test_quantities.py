"""Times, amounts of memory and shares, as people write them."""

from __future__ import annotations

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.quantities import bytes_of, seconds_of, share_of, time_text


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("2h", 7200),
        ("90m", 5400),
        ("1h30m", 5400),
        ("1h 30 min", 5400),
        ("1d", 86400),
        ("2.5S", 2.5),
    ],
)
def test_times(given: float | str, seconds: float) -> None:
    assert seconds_of("max_runtime", given) == seconds


@pytest.mark.parametrize("given", ["", "2", "h", "2 weeks", "2h later", "-1h", 0, -1, True, "0s"])
def test_no_times(given: float | str) -> None:
    with pytest.raises(BadInput, match=r"^max_runtime is .*; expected seconds above 0, or a time"):
        seconds_of("max_runtime", given)


@pytest.mark.parametrize(
    ("given", "count"),
    [("4GB", 4_000_000_000), ("4 gib", 4 << 30), ("512MiB", 512 << 20), ("1.5kB", 1500), ("7b", 7)],
)
def test_amounts(given: str, count: int) -> None:
    assert bytes_of("min_free_memory", given) == count


@pytest.mark.parametrize(
    "given", ["4", "GB", "4G", "0GB", "-1GB", "0%", "100%", "4GB 2MB", 4, None]
)
def test_no_amounts(given: str) -> None:
    with pytest.raises(BadInput, match=r"^min_free_memory is .*; expected an amount of memory"):
        bytes_of("min_free_memory", given)


def test_shares() -> None:
    assert bytes_of("min_free_memory", "10%") is None
    assert (share_of("5%"), share_of(" 2.5 % "), share_of("5"), share_of(5)) == (
        0.05,
        0.025,
        None,
        None,
    )


def test_a_time_is_told_as_it_is_written() -> None:
    assert [time_text(s) for s in (0.5, 45, 60, 5400, 7200, 3661)] == [
        "0.5s",
        "45s",
        "1m",
        "1h30m",
        "2h",
        "1h1m1s",
    ]
