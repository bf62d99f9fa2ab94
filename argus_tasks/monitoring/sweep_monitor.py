"""Report a session to the Argus monitor: one batch, the starts and ends of its jobs, how it ended.

Prefect's hooks call `tries_again` and `ended` (`orchestration/tasks/hooks`). A job that ends
without a hook is reported by the code that sees it end; `close` reports the rest. The end of each
job is reported once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_tasks.base.guard import guarded
from argus_tasks.monitoring.monitor_batch import MonitorBatch, monitor_batch_for
from argus_tasks.monitoring.orphaned_jobs import not_in_outbox, report_job_end
from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.reporting.target import configured
from argus_tasks.runs.ledger.monitor_journal import JobEnd, MonitorJournal
from argus_tasks.runs.record.layout import FAILED, SKIPPED
from argus_tasks.session.observer import SessionObserver
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.spec.modes import ENGINES
from argus_tasks.workers.isolation.worker_death import log_tail

if TYPE_CHECKING:
    from argus_tasks.reporting.worker_reporter import JoinContext
    from argus_tasks.workers.attempts.messages import Assignment, Outcome

_ERROR_TEXT = 8_000
_DRAIN_LEAST_S = 0.3


@dataclass(slots=True)
class _Job:
    run: PlannedRun
    assignment: Assignment
    place: str | None
    spent_s: float = 0.0


class MonitorObserver(SessionObserver):
    """Reports a session to an Argus server, through this host's outbox. Never raises."""

    reports = True

    def __init__(self, session: SweepSession, batch: MonitorBatch) -> None:
        from argus_tasks.reporting.batch_reporter import BatchReporter

        self._session = session
        self._file = MonitorJournal(session.folder.path)
        self._lock = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._closed = self._left = False
        self._asked_by = ""
        request = session.request
        self._batch = BatchReporter(
            batch.batch_id,
            project=request.project,
            n_total=batch.n_total,
            experiment_type=request.spec.experiment_type,
            labels=batch.labels,
            shared_folder=_shared_folder(session),
        )
        orphaned = not_in_outbox(self._batch, self._file, list(batch.orphaned.values()))
        self._orphaned = {job.name: job for job in orphaned}
        self._file.opened(batch.batch_id, session.session_id)
        self._batch.open(
            on_stop=self._on_stop,
            on_end=lambda how: self._file.closed(self._batch.batch_id, how),
            environment=session.environment.event if session.environment.gathers else None,
        )
        for end in batch.ended:
            self._batch.count(end.name, failed=end.failed)
        self._report_orphaned(set(self._orphaned) - {run.name for run in session.plan.to_do})

    def join(self, run: PlannedRun) -> JoinContext | None:
        """What the run's worker needs to report its epochs."""
        return self._batch.context(run.name)

    @guarded(default=None)
    def started(self, run: PlannedRun, assignment: Assignment) -> None:
        """An attempt begins. With the first one of a config its job begins, too."""
        job = self._jobs.get(run.index)
        if job is None:
            job = _Job(run, assignment, None)
            with self._lock:
                if self._closed:
                    return
                self._jobs[run.index] = job
            job.place = self._batch.begin(run.name, _start_of(run, assignment))
            self._orphaned.pop(run.name, None)
        job.assignment = assignment
        if assignment.join is not None:
            assignment.join.after = job.place

    @guarded(default=None)
    def tries_again(self, index: int) -> None:
        """The attempt has failed, and another one follows."""
        job, outcome = self._jobs.get(index), self._session.results.outcomes.get(index)
        if job is None or outcome is None:
            return
        job.spent_s += outcome.duration_s
        text = f"attempt {job.assignment.attempt} failed: {_reason(outcome)}; trying again"
        job.place = self._batch.line(job.run.name, text, "warning", _after(outcome)) or job.place

    @guarded(default=None)
    def ended(self, index: int) -> None:
        """The config has ended for good, as `SweepSession.results` has it."""
        with self._lock:
            job = self._jobs.pop(index, None)
        if job is not None:
            self._report_job_end(job, self._session.results.outcomes.get(index))

    @guarded(default=None)
    def close(self, error: BaseException | None) -> None:
        """All configs have ended, or this exception has ended the session."""
        self._closed = True
        while self._jobs:
            with self._lock:
                _, job = self._jobs.popitem()
            self._report_job_end(job, self._session.results.outcomes.get(job.run.index))
        self._report_orphaned(set(self._orphaned))
        self._batch.close(self._why_failed(error))
        self._file.close()

    @guarded(default=None)
    def attach(self, files: Sequence[Path], run_ids: Sequence[str]) -> None:
        """Send plots of the sweep, as artifacts of the first of these runs that was reported."""
        ends = self._file.read().ends
        name = next((ends[run_id].name for run_id in run_ids if run_id in ends), None)
        if name is not None:
            self._batch.attach(name, files)

    def leave(self) -> None:
        """The session is closed: wait a while for the monitor to have received everything."""
        with self._lock:
            if self._left:
                return
            self._left = True
        deadline = self._session.stops.deadline
        self._session.progress.waits_for("the monitor", deadline)
        self._batch.leave(max(_DRAIN_LEAST_S, deadline.left_s()))

    def _report_orphaned(self, names: set[str]) -> None:
        """Report the ends of jobs that a killed session left open and that nobody takes up."""
        for name in sorted(names):
            report_job_end(self._batch, self._file, self._orphaned.pop(name))

    def _report_job_end(self, job: _Job, outcome: Outcome | None) -> None:
        run, assignment = job.run, job.assignment
        data: dict[str, Any] = {"attempts": assignment.attempt}
        failed, after = True, _after(outcome)
        if outcome is None:
            why = self._session.stopped_by
            cause = f"stopped by {why}" if why else "unknown"
            data |= {"status": "FAILED", "cause": cause, "reason": cause, "resumable": True}
        else:
            ending = outcome.ending
            failed = ending.status == FAILED
            data["elapsed_s"] = round(job.spent_s + outcome.duration_s, 6)
            data |= _measured(outcome)
            if failed:
                data |= _failure(outcome, assignment.key.run_dir)
            else:
                data["status"] = "SKIPPED" if ending.status == SKIPPED else "DONE"
                if ending.status == SKIPPED:
                    data["reason"] = ending.error_message
        self._batch.end(run.name, data, failed=failed, after=after)
        self._file.ended(assignment.key.run_id, JobEnd(run.name, assignment.attempt, failed=failed))

    def _why_failed(self, error: BaseException | None) -> str | None:
        session = self._session
        summary = session.summary()
        if session.stopping and not summary.ok:
            who = f" ({self._asked_by})" if self._asked_by else ""
            return f"stopped by {session.stop_reason}{who}: {summary.sentence()}"
        if error is not None:
            return f"{type(error).__name__}: {error}"
        if summary.failed:
            return f"{summary.failed} of {summary.total} failed"
        if not summary.ok:
            return f"{summary.not_started} of {summary.total} not started"
        return None

    def _on_stop(self, who: str) -> None:
        if who != "the monitor":
            self._asked_by = who
        self._session.stops.stop("monitor")


@contextmanager
def reported(session: SweepSession) -> Iterator[SessionObserver]:
    """Report a sweep session to the Argus monitor: within, the observer that attempts report to.

    Where no monitor is configured, or there is nothing to report, it does nothing. Call its `leave`
    once the session is closed.
    """
    monitor = _monitor_of(session) or SessionObserver()
    try:
        yield monitor
        monitor.close(None)
    except BaseException as error:  # of the session, or a signal during the close
        monitor.close(error)
        raise


@guarded(default=None)
def _monitor_of(session: SweepSession) -> MonitorObserver | None:
    if not configured():
        return None
    batch = monitor_batch_for(session.plan, session.folder)
    return MonitorObserver(session, batch) if batch is not None else None


def _shared_folder(session: SweepSession) -> Path | None:
    """Where workers on a cluster's nodes write their events: this host's outbox is not theirs."""
    on_nodes = session.request.execution.mode in ENGINES
    return session.folder.path.parent / "outbox" if on_nodes else None


def _start_of(run: PlannedRun, assignment: Assignment) -> dict[str, Any]:
    meta = assignment.meta
    data = {
        "model": run.model,
        "dataset": run.dataset,
        "config_digest": run.digest,
        "run_dir": assignment.key.run_dir,
        "experiment": meta.experiment_name,
        "group": meta.group,
        "tags": meta.tags,
        "seed": meta.seed,
        "attempt": assignment.attempt if assignment.attempt > 1 else None,
        "resumed": run.action is Action.RESUME or None,
        "parent_run_id": meta.parent_run_id,
    } | (run.trial.labels if run.trial is not None else {})
    return {key: value for key, value in data.items() if value is not None}


def _measured(outcome: Outcome) -> dict[str, Any]:
    """Metrics, epochs and resources. What the function returned wins over what it reported."""
    data: dict[str, Any] = {}
    metrics: dict[str, Any] = dict(outcome.metrics)
    if outcome.reported is not None:
        metrics = {**outcome.reported.metrics, **metrics}
        data = {
            "train_epochs": outcome.reported.train_epochs,
            "resources": dict(outcome.reported.resources),
        }
    return data | ({"metrics": metrics} if metrics else {})


def _failure(outcome: Outcome, run_dir: str) -> dict[str, Any]:
    ending = outcome.ending
    data: dict[str, Any] = {
        "status": "FAILED",
        "cause": ending.cause,
        "reason": _reason(outcome),
        "error": outcome.stack[-_ERROR_TEXT:] or ending.error_message,
        "log_tail": log_tail(run_dir),
    }
    if ending.resumable:
        data["resumable"] = True
    return data


def _reason(outcome: Outcome) -> str:
    cause, message = str(outcome.ending.cause), str(outcome.ending.error_message or "")
    return cause if message in ("", cause) else f"{cause}: {message}"[:1000]


def _after(outcome: Outcome | None) -> Sequence[str] | None:
    return outcome.reported.last if outcome is not None and outcome.reported is not None else None
