"""The table of ways in whole sweeps, each in its modes, under each policy of `on_code_change`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.provenance.sweep_lab import SweepLab
from tests.unit.provenance.ways import SEQUENTIAL, WAYS, Way

# Asked of the comparison and the recording alone: another Python, other packages, and what a run
# had loaded as it began.
NOT_SO = ("17", "18 imported", "18 another", "35")
ALWAYS = ("1 ", "21", "25", "31", "36 a")
MODES = {SEQUENTIAL: ("sequential", "thread")}
CASES = [
    (way, mode)
    for way in WAYS
    if way.number not in NOT_SO
    for each in way.modes
    for mode in MODES.get(each, (each,))
]


def marks(way: Way, mode: str) -> tuple[pytest.MarkDecorator, ...]:
    always = mode in ("warm", "fresh") and f"{way.number} ".startswith(ALWAYS)
    return () if always else (pytest.mark.slow,)


@pytest.fixture
def lab_of(tmp_path: Path) -> Iterator[list[SweepLab]]:
    labs: list[SweepLab] = []
    yield labs
    for lab in labs:
        lab.close()


@pytest.mark.parametrize(
    ("way", "mode"),
    [
        pytest.param(
            way, mode, id=f"{way.number}: {way.find.__name__}, {mode}", marks=marks(way, mode)
        )
        for way, mode in CASES
    ],
)
def test_a_way(way: Way, mode: str, lab_of: list[SweepLab], tmp_path: Path) -> None:
    lab = SweepLab(tmp_path, mode=mode, **way.settings)  # type: ignore[arg-type]
    lab_of.append(lab)
    found = way.find(lab)
    assert found.state is way.state, found
    assert set(found.files) == set(way.files)
