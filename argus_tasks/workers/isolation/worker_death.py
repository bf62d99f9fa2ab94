"""Makes the outcome of an attempt whose worker died, and closes the run's folder in its place."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import read_end, read_json
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
"""The heading between the stack and the log in `error.log`."""
_LOG_TAIL_BYTES = 4_000

log = logging.getLogger("argus_tasks")


def outcome_of_death(
    assignment: Assignment, death: Exception, duration_s: float, stopped_by: str
) -> Outcome:
    """The outcome of an attempt that ended with `death`, from its folder and from what the parent
    knows.

    A run whose success was written before its worker died has succeeded. During a stop, a death
    counts as part of the stop, unless the time limit was reached before.

    Args:
        assignment: the attempt.
        death: the error that ended it: a WorkerDied, a BadInput, or another.
        duration_s: its duration in seconds.
        stopped_by: who is stopping the sweep; empty if nobody is.
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
    else:  # its config cannot be pickled, or its folder cannot be created
        cause = kind = type(death).__name__
    secrets = secrets_of(assignment.config)
    ending = Ending(FAILED, cause, kind, visible(redact(str(death), secrets)))
    kinds = tuple(dict.fromkeys((cause, kind, "Exception")))
    if stopped_by and not isinstance(death, TimedOut):
        ending, kinds = stopped_ending(stopped_by), ()
    parts = [str(death), stack, f"{LOG_TAIL}\n{log_tail(assignment.key.run_dir)}"]
    evidence = visible(redact("\n\n".join(part for part in parts if part), secrets))
    return Outcome(ending, kinds, evidence, duration_s=duration_s, unwritten=True)


class RecordCloser:
    """Closes run folders that workers could not close; if the disk is full, later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, tuple[Assignment, Outcome]] = {}

    def write(self, assignment: Assignment, outcome: Outcome) -> Outcome:
        """Close the run's folder, now or later.

        Returns:
            The outcome, with the hashes of its files if the folder was closed.
        """
        try:
            self._close(assignment, outcome)
        except OSError as error:
            full = causes.of_exception(error) == causes.DISK_FULL  # the session says so, once
            level = logging.DEBUG if full else logging.WARNING
            log.log(level, "%s cannot be closed yet: %s", assignment.key.run_dir, error)
            with self._lock:
                self._pending[assignment.key.run_id] = (assignment, outcome)
            return outcome
        return replace(outcome, files=hashes_of(assignment.key.run_dir))

    def forget(self, run_id: str) -> None:
        """Drop what is pending for a run that is retried: the retry will write its folder."""
        if self._pending:
            with self._lock:
                self._pending.pop(run_id, None)

    def write_pending(self) -> list[tuple[Assignment, Outcome]]:
        """Try again to close the folders that could not be closed; return those that now are."""
        with self._lock:
            pending, self._pending = self._pending, {}
        written = [(one, self.write(one, outcome)) for one, outcome in pending.values()]
        return [(one, outcome) for one, outcome in written if outcome.files]

    def _close(self, assignment: Assignment, outcome: Outcome) -> None:
        close_dead_attempt(
            assignment.key,
            assignment.meta,
            assignment.config,
            outcome.ending,
            outcome.stack or str(outcome.ending.error_message),
            outcome.duration_s,
            retrying=outcome.is_retried(assignment.retry, assignment.attempt),
        )


def _settled(assignment: Assignment) -> Outcome | None:
    """The outcome that the worker had written before it died; None if it had not."""
    record = record_of(assignment.key.run_dir)
    if record is None or record.get("status") != SUCCEEDED:
        return None
    if record.get("attempt") != assignment.attempt:
        return None
    try:
        metrics = numbers_of(read_json(f"{assignment.key.run_dir}/{METRICS_JSON}"))
    except (OSError, ValueError, AttributeError):
        metrics = {}
    odd = tuple(record.get("nonfinite") or ())
    return Outcome(Ending(SUCCEEDED), metrics=metrics, not_finite=odd)


def log_tail(run_dir: str) -> str:
    """The last lines of a run's log."""
    try:
        return read_end(f"{run_dir}/{RUN_LOG}", _LOG_TAIL_BYTES)
    except OSError:
        return "(none)"
