"""Folders and ids that lead out of the results root are not followed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from argus_tasks.base.files import append_line
from argus_tasks.results.read.rows import load_rows
from argus_tasks.runs.ledger.catalogue import known_run, known_runs
from argus_tasks.runs.ledger.cleaning import RunFilter, removable, remove
from argus_tasks.runs.ledger.sweep_folder import batches, checked_line
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.runs.record.layout import LEDGER_JSONL, RUN_JSON
from tests.support.experiments import score
from tests.support.sessions import run_configs


def test_a_run_folder_that_is_a_link_is_not_followed(results_root: Path, tmp_path: Path) -> None:
    run_configs([{"x": 1}], score, results_root)
    (run,) = known_runs(results_root)
    elsewhere = tmp_path / "elsewhere"
    Path(run.run_dir).rename(elsewhere)
    Path(run.run_dir).symlink_to(elsewhere)
    before = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")}
    assert known_run(results_root, run.run_id) is None
    assert list(known_runs(results_root)) == []
    assert load_rows(results_root).rows == ()
    assert removable(results_root, RunFilter(["succeeded"])) == []
    found = verify(results_root).findings
    assert any(finding.sentence == "is a link, which is not followed" for finding in found)
    assert run_configs([{"x": 1}], score, results_root).succeeded == 1
    assert {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")} == before


@pytest.mark.parametrize("path", ["../elsewhere", "/elsewhere", ".", "..", ""])
def test_an_id_with_a_path_leads_nowhere(results_root: Path, path: str) -> None:
    run_configs([{"x": 1}], score, results_root)
    (run,) = known_runs(results_root)
    elsewhere = results_root.parent / "elsewhere"
    shutil.copytree(run.run_dir, elsewhere)
    (elsewhere / LEDGER_JSONL).touch()
    assert known_run(results_root, path) is None
    assert known_run(results_root, f"{run.run_id}/../{run.run_id}") is None

    (batch,) = batches(results_root)
    line = {"event": "started", "run_id": path, "digest": run.digest, "attempt": 1}
    append_line(batch.path / LEDGER_JSONL, checked_line(line))
    assert set(batch.open_attempts()) == set()
    assert any("is no run's id" in finding.sentence for finding in verify(results_root).findings)

    record = json.loads(Path(run.run_dir, RUN_JSON).read_text())
    batch_id = f"../{path}" if path else path
    Path(run.run_dir, RUN_JSON).write_text(json.dumps({**record, "batch_id": batch_id}))
    (run,) = removable(results_root, RunFilter(["succeeded"]))
    remove(results_root, run)
    assert (elsewhere / LEDGER_JSONL).read_text() == ""
