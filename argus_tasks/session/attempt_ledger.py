"""The lines of a session's attempts in the ledger, and the folders that workers left unclosed."""

from __future__ import annotations

from typing import Any

from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.runs.record.run_record import Ending
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.isolation.worker_death import RecordCloser


class AttemptLedger:
    """Writes what begins and ends; safe to use from many threads.

    Args:
        folder: the batch's, where the ledger lies.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._closer = RecordCloser()

    def forget(self, assignment: Assignment) -> None:
        """The run is tried again: what an earlier attempt owes its folder is not written."""
        self._closer.forget(assignment.key.run_id)

    def ended(self, assignment: Assignment, outcome: Outcome) -> Outcome:
        """The attempt has ended. Where its folder does not say so yet, it is closed, now or when
        there is room on the disk. Returns the outcome, with the hashes of the folder's files."""
        if outcome.unwritten:
            outcome = self._closer.write(assignment, outcome)
        self.note(assignment, "ended", outcome.ending, outcome.files)
        return outcome

    def close(self) -> None:
        """The session ends: try again what found no room."""
        for assignment, outcome in self._closer.write_pending():
            self.note(assignment, "closed", outcome.ending, outcome.files)

    def note(self, assignment: Assignment, event: str, ending: Ending, files: Any = None) -> None:
        """Write a line: `started`, `ended`, or `closed` for what `ended` found no room for."""
        self._folder.note(
            digest=assignment.key.digest,
            run_id=assignment.key.run_id,
            job_id=assignment.key.job_id if event != "closed" else None,
            attempt=assignment.attempt,
            event=event,
            status=ending.status,
            cause=ending.cause,
            **({"files": files} if files else {}),
        )
