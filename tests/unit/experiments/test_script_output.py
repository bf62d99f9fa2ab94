"""What a script prints: its metrics are found however the lines come, and all of it is kept."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.experiments.script_output import MetricLine, ScriptOutput, metric_line

LINES: dict[str, MetricLine | None] = {
    "METRIC loss=0.5": MetricLine({"loss": 0.5}),
    "METRIC loss=0.5 step=3": MetricLine({"loss": 0.5}, 3),
    "METRIC step=3 val/acc@5=1e-3 n=12": MetricLine({"val/acc@5": 0.001, "n": 12}, 3),
    "METRIC loss=inf step=2.0": MetricLine({"loss": math.inf}, 2),
    "METRIC loss=-0.5\r": MetricLine({"loss": -0.5}),
    "METRIC step=3": None,
    "METRIC loss=0.5 step=1.5": None,
    "METRIC loss=0.5 step=nan": None,
    "METRIC loss: 0.5": None,
    "METRIC loss=low": None,
    "METRIC": None,
    " METRIC loss=0.5": None,
    "METRICS loss=0.5": None,
}


@pytest.mark.parametrize("line", LINES)
def test_a_line(line: str) -> None:
    assert metric_line(line) == LINES[line]


class Kept:
    def __init__(self, folder: Path) -> None:
        self.metrics: list[MetricLine] = []
        self.odd: list[str] = []
        self.path = folder / "run.log"
        self.path.unlink(missing_ok=True)
        self.log = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.output = ScriptOutput(self.log, self.metrics.append, self.odd.append)


@given(st.lists(st.integers(1, 30), max_size=12))
def test_lines_are_found_however_they_come(tmp_path_factory: Any, cuts: list[int]) -> None:
    kept = Kept(tmp_path_factory.getbasetemp())
    data = b"epoch 1\nMETRIC a=1 step=0\nMETRIC a=2 step=1\nMETRIC b: 3\nMETRIC c\nMETRIC d=4"
    rest = data
    for cut in cuts:
        kept.output.take(1, rest[:cut])
        rest = rest[cut:]
    kept.output.take(1, rest)
    kept.output.take(2, b"METRIC e=5\n")
    kept.output.end()
    os.close(kept.log)
    assert kept.metrics == [
        MetricLine({"a": 1}, 0),
        MetricLine({"a": 2}, 1),
        MetricLine({"d": 4}),
    ]
    assert kept.output.last == {"a": 2, "d": 4}
    assert kept.odd == ["METRIC b: 3"], "it is told once"
    assert kept.path.read_bytes() == data + b"METRIC e=5\n"


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for _ in range(100):
        kept.output.take(1, b"\rprogress " + b"#" * 10_000)
    assert len(kept.output._line) <= 64 * 1024
    kept.output.take(1, b" METRIC x=1\nMETRIC y=2\n")
    os.close(kept.log)
    assert kept.output.last == {"y": 2}


def test_the_tail_is_of_stderr_where_there_is_any(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.output.take(1, b"working\nstill\n")
    assert kept.output.tail() == ("stdout", "working\nstill")
    assert kept.output.last_line() == ""
    kept.output.take(2, b"".join(b"line %d\n" % n for n in range(2000)) + b"ValueError: no\n\n")
    name, tail = kept.output.tail()
    os.close(kept.log)
    assert name == "stderr"
    assert tail.endswith("line 1999\nValueError: no")
    assert tail.startswith("line ")
    assert len(tail) <= 4000
    assert kept.output.last_line() == "ValueError: no"
