"""The task runs that sessions have had, as the ledgers of a results root have them.

An attempt is its session's: the one that has started it. Its end may stand in another session's
lines, or in another batch's ledger: who finds a run whose sweep is dead writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from argus_tasks.base.ids import job_suffix
from argus_tasks.orchestration.prefect_api.expected_task_runs import TASK_NAME, ExpectedRun
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.record.causes import PARENT_LOST
from argus_tasks.runs.record.layout import RUNNING, SKIPPED, SUCCEEDED
from argus_tasks.runs.record.run_record import record_of

_STOPPED = "stopped by "


@dataclass(slots=True)
class _Started:
    """The first and the last attempt of a run that one session has started."""

    batch_id: str
    first: dict[str, Any]
    last: dict[str, Any]


class PastRuns:
    """What Prefect's server should know of sessions that are over; ledgers are read when asked."""

    def __init__(self, results_root: Path) -> None:
        self._root = results_root

    def expected(self, session: str) -> list[ExpectedRun]:
        """The task runs of a session that have ended, whoever has written how."""
        starts, ends = self._facts
        found = []
        for run_id, started in starts.get(session, {}).items():
            attempt = int(started.last["attempt"])
            end = ends.get((run_id, attempt)) or self._unwritten_end(run_id, attempt)
            if end is not None:
                found.append(self._expected(run_id, started, end))
        return found

    @cached_property
    def _facts(
        self,
    ) -> tuple[dict[str, dict[str, _Started]], dict[tuple[str, int], dict[str, Any]]]:
        """What each session has started, by run id; and the last end of each attempt."""
        starts: dict[str, dict[str, _Started]] = {}
        ends: dict[tuple[str, int], dict[str, Any]] = {}
        for folder in batches(self._root):
            for fact in folder.facts():
                run_id = str(fact.get("run_id"))
                if fact.get("event") == "started" and fact.get("job_id"):
                    mine = starts.setdefault(str(fact.get("session")), {})
                    mine.setdefault(run_id, _Started(folder.batch_id, fact, fact)).last = fact
                elif fact.get("event") in ("ended", "closed"):
                    key = (run_id, int(fact.get("attempt") or 1))
                    if key not in ends or ends[key]["at"] <= fact["at"]:
                        ends[key] = fact
        return starts, ends

    def _unwritten_end(self, run_id: str, attempt: int) -> dict[str, Any] | None:
        """The end of an attempt whose sweep died before it had a line: as the next start of the
        sweep will write it."""
        record = record_of(f"{self._root}/{run_id}") or {}
        if record.get("attempt") != attempt or record.get("status") == RUNNING:
            return None
        return record | {"at": record.get("finished_at")}

    def _expected(self, run_id: str, started: _Started, end: dict[str, Any]) -> ExpectedRun:
        cause = end.get("cause")
        kind, name = _state(str(end["status"]), cause)
        return ExpectedRun(
            task_run_id=None,
            name=str(started.last["job_id"]).removesuffix(f"-{job_suffix(started.batch_id)}"),
            task_key=TASK_NAME,
            dynamic_key="",
            state_type=kind,
            state_name=name,
            message=f"{cause or ''} ({self._root / run_id})".strip(),
            run_count=int(started.last["attempt"]) - int(started.first["attempt"]) + 1,
            start_time=datetime.fromisoformat(started.first["at"]),
            end_time=datetime.fromisoformat(end["at"]),
        )


def _state(status: str, cause: str | None) -> tuple[str, str]:
    if status == SUCCEEDED:
        return "COMPLETED", "Completed"
    if status == SKIPPED:
        return "COMPLETED", "Skipped"
    if cause is not None and cause.startswith(_STOPPED):
        return "CANCELLED", "Cancelled"
    if cause == PARENT_LOST:
        return "CRASHED", "Crashed"
    return "FAILED", "Failed"
