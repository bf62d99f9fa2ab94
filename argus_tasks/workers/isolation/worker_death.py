"""The outcome of an attempt whose worker could not tell it, and its last word in the folder."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import read_json
from argus_tasks.base.redact import redact, secrets_of
from argus_tasks.base.visible import visible
from argus_tasks.runs.record import causes
from argus_tasks.runs.record.close_abandoned import close_dead_attempt
from argus_tasks.runs.record.hashes import hashes_of
from argus_tasks.runs.record.layout import FAILED, METRICS_JSON, RUN_LOG, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending, record_of, stopped_ending
from argus_tasks.workers.attempts.attempt import claim_lost, numbers_of
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.isolation.death import TimedOut, WorkerDied

LOG_TAIL = "The last lines of run.log:"
"""What stands between the stack and the log in the evidence of a death."""
_LOG_TAIL_BYTES = 4_000

log = logging.getLogger("argus_tasks")


def bury(assignment: Assignment, death: Exception, duration_s: float, stopped_by: str) -> Outcome:
    """What became of an attempt that ended by `death`, as its folder and the parent know it.

    A run that had written its success before its worker died has succeeded. During a stop
    (`stopped_by` says whose) a death is the stop's, unless the time was over already.
    """
    if assignment.lost:
        return claim_lost()
    settled = _settled(assignment)
    if settled is not None:
        return replace(settled, duration_s=duration_s)
    stack = ""
    if isinstance(death, BadInput):  # it did load at the start: its files have changed
        cause, kind = causes.UNLOADABLE, "BadInput"
    elif isinstance(death, WorkerDied):
        cause, stack = death.cause, death.stack
        kind = "Timeout" if isinstance(death, TimedOut) else "WorkerDied"
    else:  # its config cannot be sent, or its folder not be made
        cause = kind = type(death).__name__
    secrets = secrets_of(assignment.config)
    ending = Ending(FAILED, cause, kind, visible(redact(str(death), secrets)))
    kinds = tuple(dict.fromkeys((cause, kind, "Exception")))
    if stopped_by and not isinstance(death, TimedOut):
        ending, kinds = stopped_ending(stopped_by), ()
    parts = [str(death), stack, f"{LOG_TAIL}\n{log_tail(assignment.key.run_dir)}"]
    evidence = visible(redact("\n\n".join(part for part in parts if part), secrets))
    return Outcome(ending, kinds, evidence, duration_s=duration_s, unwritten=True)


class LastWords:
    """Writes what workers could not; what finds no room on the disk is tried again later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed: dict[str, tuple[Assignment, Outcome]] = {}

    def write(self, assignment: Assignment, outcome: Outcome) -> Outcome:
        """Close the run's folder, now or later; the outcome, with its files where it is now."""
        try:
            self._close(assignment, outcome)
        except OSError as error:
            full = causes.of_exception(error) == causes.DISK_FULL  # the session says so, once
            level = logging.DEBUG if full else logging.WARNING
            log.log(level, "%s cannot be closed yet: %s", assignment.key.run_dir, error)
            with self._lock:
                self._owed[assignment.key.run_id] = (assignment, outcome)
            return outcome
        return replace(outcome, files=hashes_of(assignment.key.run_dir))

    def forget(self, run_id: str) -> None:
        """The run is tried again: its folder will have newer words."""
        if self._owed:
            with self._lock:
                self._owed.pop(run_id, None)

    def write_owed(self) -> list[tuple[Assignment, Outcome]]:
        """Try again those that found no room; returns those that now have."""
        with self._lock:
            owed, self._owed = self._owed, {}
        written = [(one, self.write(one, outcome)) for one, outcome in owed.values()]
        return [(one, outcome) for one, outcome in written if outcome.files]

    def _close(self, assignment: Assignment, outcome: Outcome) -> None:
        close_dead_attempt(
            assignment.key,
            assignment.meta,
            assignment.config,
            outcome.ending,
            outcome.stack or str(outcome.ending.error_message),
            outcome.duration_s,
            retrying=outcome.ending.status == FAILED
            and not outcome.ending.resumable
            and (outcome.forgiven or assignment.retry.wants(outcome.kinds, assignment.attempt)),
        )


def _settled(assignment: Assignment) -> Outcome | None:
    """The outcome that the worker had already written when it died."""
    record = record_of(assignment.key.run_dir)
    if record is None or record.get("status") != SUCCEEDED:
        return None
    if record.get("attempt") != assignment.attempt:
        return None
    try:
        metrics = numbers_of(read_json(f"{assignment.key.run_dir}/{METRICS_JSON}"))
    except (OSError, ValueError, AttributeError):
        metrics = {}
    return Outcome(Ending(SUCCEEDED), metrics=metrics)


def log_tail(run_dir: str) -> str:
    """The last lines of a run's log."""
    try:
        with open(f"{run_dir}/{RUN_LOG}", "rb") as handle:  # noqa: PTH123
            handle.seek(0, os.SEEK_END)
            handle.seek(max(0, handle.tell() - _LOG_TAIL_BYTES))
            return handle.read().decode("utf-8", "replace")
    except OSError:
        return "(none)"
