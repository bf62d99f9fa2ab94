"""Which task runs sessions have had: the ledgers of the whole results root say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from argus_tasks.base.ids import job_suffix
from argus_tasks.orchestration.mirror.past_task_runs import PastRuns
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity


def session(root: Path, batch: str, *facts: tuple[str, str, int, str | None]) -> str:
    """A session that notes (event, run id, attempt, cause) each; of starts alone the job is told,
    as who closes another's run does not know it."""
    folder = SweepFolder(root, batch)
    identity = SweepIdentity("p", batch, "e")
    opened = folder.open_session(identity, git_sha=None, created_by="me")
    for event, run_id, attempt, cause in facts:
        job = {"job_id": f"job-{run_id}-{job_suffix(batch)}"} if event == "started" else {}
        status = "running" if event == "started" else "failed" if cause else "succeeded"
        folder.note(event=event, run_id=run_id, attempt=attempt, status=status, cause=cause, **job)
    folder.close()
    return opened


def shown(root: Path, opened: str) -> dict[str, tuple[str, int]]:
    return {run.name: (run.state_name, run.run_count) for run in PastRuns(root).expected(opened)}


def test_an_end_is_its_sessions_that_has_started_it_whoever_wrote_it(tmp_path: Path) -> None:
    dead = session(
        tmp_path,
        "one",
        ("started", "a", 1, None),
        ("ended", "a", 1, "ValueError"),
        ("started", "a", 2, None),
        ("started", "b", 1, None),
        ("started", "c", 4, None),
        ("started", "d", 1, None),
        ("started", "e", 1, None),
    )
    after = session(tmp_path, "one", ("ended", "a", 2, None), ("ended", "c", 4, "parent lost"))
    other = session(
        tmp_path,
        "two",
        ("ended", "b", 1, "stopped by user"),
        ("started", "b", 2, None),
        ("ended", "b", 2, "ValueError"),
    )
    record: dict[str, Any] = {"attempt": 1, "finished_at": "2026-11-23T01:29:55.297053+00:00"}
    for run_id, status in (("d", "succeeded"), ("e", "running")):
        (tmp_path / run_id).mkdir()
        write_json(tmp_path / run_id / "run.json", {**record, "status": status, "cause": None})
    assert shown(tmp_path, dead) == {
        "job-a": ("Completed", 2),
        "job-b": ("Cancelled", 1),
        "job-c": ("Crashed", 1),
        "job-d": ("Completed", 1),
    }
    assert shown(tmp_path, after) == {}
    assert shown(tmp_path, other) == {"job-b": ("Failed", 1)}
