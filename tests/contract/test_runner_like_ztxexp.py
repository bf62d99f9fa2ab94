"""One suite, two runners: what ztxexp documents, run on it and on ours side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import ExpRunner, RunMetadata, RunSummary
from tests.contract import experiments, peer

MODES = [
    "sequential",
    "process_pool",
    *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("joblib", "dynamic")),
]


def folders_of(root: Path) -> dict[str, Path]:
    return {
        json.loads((path / "config.json").read_text())["kind"]: path
        for path in root.iterdir()
        if path.name[0] != "."
    }


def run_theirs(root: Path, mode: str) -> dict[str, Any]:
    """In a process of its own: its worker pools outlive the call."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.peer", str(root), mode],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def run_ours(root: Path, mode: str) -> RunSummary:
    metadata = RunMetadata(**peer.METADATA)
    return ExpRunner(peer.CONFIGS, root, experiments.for_argus_tasks).run(
        mode=mode, metadata=metadata, **peer.OPTIONS
    )


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_summaries_files_keys_and_events(mode: str, served: str, tmp_path: Path) -> None:
    theirs = run_theirs(tmp_path / "theirs", mode)
    ours = run_ours(tmp_path / "ours", mode)
    assert theirs.keys() <= {field.name for field in fields(ours)}
    for key in ("total", "succeeded", "failed", "skipped"):
        assert theirs[key] == getattr(ours, key), key
    their_folders, our_folders = folders_of(tmp_path / "theirs"), folders_of(tmp_path / "ours")
    failed = {kind for kind, path in our_folders.items() if path.name in ours.failed_run_ids}
    assert failed == {"value_error", "list"}
    assert len(theirs["failed_run_ids"]) == len(ours.failed_run_ids)
    assert their_folders.keys() == our_folders.keys()
    for kind, their_folder in their_folders.items():
        compare_folders(kind, their_folder, our_folders[kind])


def compare_folders(kind: str, theirs: Path, ours: Path) -> None:
    assert {path.name for path in theirs.iterdir()} == {path.name for path in ours.iterdir()}
    for name in ("run.json", "meta.json", "metrics.json", "config.json"):
        if not (theirs / name).exists():
            continue
        their_json = json.loads((theirs / name).read_text())
        our_json = json.loads((ours / name).read_text())
        assert their_json.keys() <= our_json.keys(), name
        varying = {"run_id", "started_at", "finished_at", "duration_sec", "started_cmd"}
        for key in their_json.keys() - varying:
            assert their_json[key] == our_json[key] or is_message(key), (kind, name, key)
        for key in varying & their_json.keys():
            assert type(their_json[key]) is type(our_json[key]), key
    their_events, our_events = events(theirs), events(ours)
    assert [event["event"] for event in their_events] == [event["event"] for event in our_events]
    for their_event, our_event in zip(their_events, our_events, strict=True):
        assert their_event.keys() <= our_event.keys()
    if (theirs / "metrics.jsonl").exists():
        for folder in (theirs, ours):
            (line,) = (folder / "metrics.jsonl").read_text().splitlines()
            point = json.loads(line)
            assert point.keys() == {"step", "timestamp", "metrics", "split", "phase"}
            assert (point["step"], point["metrics"]) == (1, {"loss": 0.5})


def is_message(key: str) -> bool:
    """What a message says in prose is ours."""
    return key == "error_message"


def test_older_names_of_arguments_win(served: str, tmp_path: Path) -> None:
    runner = ExpRunner([{"kind": "ok"}], tmp_path, experiments.for_argus_tasks)
    summary = runner.run(
        mode="nonsense", execution_mode="sequential", num_workers=1, dynamic_cpu_threshold=90
    )
    assert summary.succeeded == 1


def test_a_live_tracker_works_in_every_mode_and_never_fails_a_run(
    served: str, tmp_path: Path
) -> None:
    for mode in ("sequential", "process_pool", "thread"):
        root = tmp_path / mode
        summary = ExpRunner([{"kind": "ok"}], root, experiments.for_argus_tasks).run(
            mode=mode, trackers=[experiments.FileTracker(), experiments.RaisingTracker()]
        )
        assert summary.succeeded == 1
        (folder,) = [path for path in root.iterdir() if path.name[0] != "."]
        assert (folder / "tracked").read_text() == "start metric end "
        assert "RaisingTracker" in (folder / "run.log").read_text()
        # The jsonl tracker is there beside the others.
        assert events(folder)[0]["event"] == "run_start"
