"""What one bad run costs the peers: the page shows what was measured, and a round measures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.fault_acts import FAULTS
from benchmarks.fault_round import CONTESTANTS
from benchmarks.record import load_record

ROOT = Path(__file__).parents[3]


def test_the_page_has_the_figures_of_the_record() -> None:
    record = load_record()["faults"]
    assert list(record["measured"]) == list(CONTESTANTS)
    assert all(list(found) == list(FAULTS) for found in record["measured"].values())
    page = (ROOT / "docs/compare.md").read_text()
    assert f"{faults.START}\n{faults.page_table(record['measured'])}\n{faults.END}" in page


@pytest.mark.parametrize(
    ("fault", "neighbours", "tenth"), [("sys_exit", 9, "SystemExit"), ("kill", 0, "nothing")]
)
def test_a_round_tells_what_became_of_the_ten(fault: str, neighbours: int, tenth: str) -> None:
    name = "concurrent.futures" if fault == "sys_exit" else "joblib"
    kept = set(faults.descendants(os.getpid()))
    found = faults.one(name, fault, dict(os.environ), kept)
    assert (found["neighbours"], found["tenth"], found["hung"]) == (neighbours, tenth, "")
    assert found["left"] == 0
