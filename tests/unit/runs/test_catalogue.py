"""Which run of a config says how things stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from argus_tasks.runs.ledger.catalogue import known_runs, newest_by_digest


def made(root: Path, run_id: str, **record: Any) -> str:
    (root / run_id).mkdir()
    values = {"status": "failed", "digest": "x", **record}
    (root / run_id / "run.json").write_text(json.dumps(values))
    return run_id


def test_a_success_else_the_newest(tmp_path: Path) -> None:
    made(tmp_path, "20260101_000000_a")
    newest = made(tmp_path, "20260101_000001_a")
    assert newest_by_digest(tmp_path)["x"].run_id == newest
    success = made(tmp_path, "20251231_000000_a", status="succeeded")
    assert newest_by_digest(tmp_path)["x"].run_id == success


def test_within_a_second_the_start_decides(tmp_path: Path) -> None:
    made(tmp_path, "20260101_000000_b", started_at="2026-01-01T00:00:00.1")
    later = made(tmp_path, "20260101_000000_a", started_at="2026-01-01T00:00:00.2")
    assert newest_by_digest(tmp_path)["x"].run_id == later


def test_with_the_clock_put_back_a_parent_is_the_older_one(tmp_path: Path) -> None:
    first = made(tmp_path, "20260101_120000_a")
    second = made(tmp_path, "20260101_110000_a", parent_run_id=first)
    third = made(tmp_path, "20260101_100000_a", parent_run_id=second, status="running")
    assert newest_by_digest(tmp_path)["x"].run_id == third
    # A run of another config that names one of these is none of theirs.
    made(tmp_path, "20260101_090000_a", parent_run_id=third, digest="y")
    assert newest_by_digest(tmp_path)["x"].run_id == third


def test_what_only_its_record_says_is_resumable(tmp_path: Path) -> None:
    for name, said in {"a": True, "b": False, "c": None, "d": "true"}.items():
        made(tmp_path, name, resumable=said)
    made(tmp_path, "e")
    assert [run.resumable for run in known_runs(tmp_path)] == [True, False, False, False, False]


def test_hidden_folders_and_torn_records_are_no_runs(tmp_path: Path) -> None:
    run = made(tmp_path, "20260101_000000_a")
    made(tmp_path, ".trash")
    for name, text in {"torn": '{"status": ', "list": "[]", "none": None}.items():
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "run.json").write_text(text)
    (tmp_path / "file").touch()
    assert [known.run_id for known in known_runs(tmp_path)] == [run]
    assert list(known_runs(tmp_path / "nowhere")) == []
