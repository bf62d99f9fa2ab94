"""A run's own files over several attempts: what is the last one's, and what is all of them's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.run_record import Ending, RunKey, RunRecord


def attempt(folder: Path, number: int) -> RunRecord:
    key = RunKey("r", str(folder), "job", "batch", "d")
    record = RunRecord(key, RunMetadata(attempt=number))
    if number > 1:
        record.resume()
    record.open({"x": 1})
    record.running()
    return record


def test_metrics_of_an_attempt_that_failed_are_not_the_next_ones(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    first.metrics({"loss": 1.0})
    first.error("it broke")
    first.close(Ending("failed", "ValueError"), 1.0)
    second = attempt(tmp_path, 2)
    second.close(Ending("succeeded"), 1.0)  # the experiment returned nothing
    assert not (tmp_path / "metrics.json").exists()
    assert not (tmp_path / "error.log").exists()


def test_the_duration_is_that_of_all_attempts(tmp_path: Path) -> None:
    started = []
    for number, seconds in ((1, 1.5), (2, 2.25), (3, 4.0)):
        attempt(tmp_path, number).close(Ending("failed", "ValueError"), seconds)
        record = json.loads((tmp_path / "run.json").read_text())
        started.append(record["started_at"])
    assert record["duration_sec"] == pytest.approx(7.75)
    assert len(set(started)) == 1, "it was started once"
    assert (record["attempt"], record["retry_count"]) == (3, 2)
