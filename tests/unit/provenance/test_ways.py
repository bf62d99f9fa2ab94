"""The table of ways: each in every mode that it says something in, in real processes."""

from __future__ import annotations

import pytest

from tests.unit.provenance.conftest import NewLab
from tests.unit.provenance.ways import WAYS, Way
from tests.unit.provenance.ways_table import MARK, PAGE, table

CASES = [(way, mode) for way in WAYS for mode in way.modes]
# One of each answer, and what is easily broken; all others are `make test-all`'s.
ALWAYS = ("1", "4 ", "11", "12", "16", "19", "25", "27", "31")


def marks(way: Way, mode: str) -> tuple[pytest.MarkDecorator, ...]:
    always = mode == "warm" and f"{way.number} ".startswith(ALWAYS)
    return () if always else (pytest.mark.slow,)


@pytest.mark.parametrize(
    ("way", "mode"),
    [
        pytest.param(
            way, mode, id=f"{way.number}: {way.find.__name__}, {mode}", marks=marks(way, mode)
        )
        for way, mode in CASES
    ],
)
def test_a_way(way: Way, mode: str, new_lab: NewLab) -> None:
    found = way.find(new_lab(mode=mode, **way.settings))
    assert found.state is way.state, found
    assert set(found.files) == set(way.files)


def test_the_page_has_the_table() -> None:
    assert PAGE.read_text().endswith(f"{MARK}\n{table()}"), (
        "run python -m tests.unit.provenance.ways_table"
    )
