"""Jobs and batches that a monitor shows as running, though the process that ran them is gone.

How these jobs ended is read from their run folders. The next session of the batch reports the ends
of the jobs that it does not resume. Where no session follows, `status --repair` reports them, or
Prefect's runner when it finds the process of a flow run dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_tasks.base.files import read_mapping
from argus_tasks.base.ids import job_suffix
from argus_tasks.reporting.target import configured
from argus_tasks.runs.ledger.monitor_journal import JobEnd, MonitorJournal, MonitorState
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, batches
from argus_tasks.runs.record.causes import PARENT_LOST
from argus_tasks.runs.record.layout import ERROR_LOG, METRICS_JSON, RUNNING, SKIPPED, SUCCEEDED
from argus_tasks.runs.record.run_record import record_of
from argus_tasks.workers.attempts.attempt import numbers_of
from argus_tasks.workers.isolation.worker_death import log_tail

if TYPE_CHECKING:
    from argus_tasks.reporting.batch_reporter import BatchReporter

_ERROR_TEXT = 8_000


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job whose start was reported to the monitor, and whose end was not."""

    name: str
    run_id: str
    run_dir: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """A batch that was closed on the monitor in place of a dead process.

    Attributes:
        batch_id: its id on the monitor.
        jobs: how many of its jobs were closed.
    """

    batch_id: str
    jobs: int


def open_jobs(folder: SweepFolder, known: MonitorState) -> dict[str, OpenJob]:
    """The jobs of the last reported batch whose ends have not been reported.

    Args:
        folder: the sweep's folder.
        known: what has been reported.

    Returns:
        The jobs by name.
    """
    ending = f"-{job_suffix(folder.batch_id)}"
    found: dict[str, OpenJob] = {}
    for fact in folder.facts() if known.sessions else ():
        if fact.get("event") != "started" or fact.get("session") not in known.sessions:
            continue
        name, run_id = str(fact["job_id"]).removesuffix(ending), str(fact["run_id"])
        run_dir = str(folder.path.parents[1] / run_id)
        found[name] = OpenJob(name, run_id, run_dir, int(fact["attempt"]))
    return {name: job for name, job in found.items() if not _is_reported(job, known)}


def report_job_end(batch: BatchReporter, file: MonitorJournal, job: OpenJob) -> None:
    """Report the end of a job as its run folder has it. A job that is running according to the
    folder has lost its process, and is reported as failed.

    Args:
        batch: the open batch.
        file: where the report is recorded.
        job: the job.
    """
    data, failed = _end_of(job)
    batch.end(job.name, data, failed=failed, after=None)
    file.ended(job.run_id, JobEnd(job.name, job.attempt, failed=failed))


def close_orphaned_batches(results_root: Path, flow_run_id: str | None = None) -> list[ClosedBatch]:
    """Close the batches of a results root on the monitor whose processes are dead.

    Args:
        results_root: the folder that holds the run folders.
        flow_run_id: only the batch of this Prefect flow run; by default all.

    Returns:
        The batches that were closed.
    """
    if not configured():
        return []
    return [
        closed
        for folder in batches(results_root)
        if _is_orphaned(folder, flow_run_id) and (closed := _close(folder)) is not None
    ]


def _is_reported(job: OpenJob, known: MonitorState) -> bool:
    end = known.ends.get(job.run_id)
    return end is not None and end.attempt >= job.attempt


def _is_orphaned(folder: SweepFolder, flow_run_id: str | None) -> bool:
    last = (folder.sessions() or [{}])[-1]
    if flow_run_id is not None and (last.get("flow_run") or {}).get("id") != flow_run_id:
        return False
    return folder.is_over(last)


def _close(folder: SweepFolder) -> ClosedBatch | None:
    from argus_tasks.reporting.batch_reporter import BatchReporter

    file = MonitorJournal(folder.path)
    known = file.read()
    if known.batch_id is None or known.closed is not None:
        return None
    jobs = list(open_jobs(folder, known).values())
    state = folder.state() or {}
    batch = BatchReporter(known.batch_id, project=str(state.get("project")), n_total=0)
    left = not_in_outbox(batch, file, jobs)
    batch.open_for_closing(lambda how: file.closed(str(known.batch_id), how))
    for end in known.ends.values():
        batch.count(end.name, failed=end.failed)
    for job in left:
        report_job_end(batch, file, job)
    batch.close("the process that ran it is gone")
    batch.leave()
    return ClosedBatch(known.batch_id, len(jobs))


def not_in_outbox(batch: BatchReporter, file: MonitorJournal, jobs: list[OpenJob]) -> list[OpenJob]:
    """The jobs whose last event is not in the outbox yet.

    A process can be killed after it has written an event and before it has recorded that. Call
    this before the batch is opened.

    Args:
        batch: the batch.
        file: where the ends that are found in the outbox are recorded.
        jobs: jobs without a recorded end.

    Returns:
        The jobs whose ends are still to be reported.
    """
    waiting = (batch.ends_in_outbox() or {}) if jobs else {}
    left = []
    for job in jobs:
        failed = waiting.get((batch.job_id(job.name), job.attempt))
        if failed is None:
            left.append(job)
        else:
            file.ended(job.run_id, JobEnd(job.name, job.attempt, failed=failed))
    return left


def _end_of(job: OpenJob) -> tuple[dict[str, Any], bool]:
    record = record_of(job.run_dir) or {}
    status = str(record.get("status") or RUNNING)
    data: dict[str, Any] = {"attempts": job.attempt}
    if record.get("duration_sec") is not None:
        data["elapsed_s"] = record["duration_sec"]
    if status in (SUCCEEDED, SKIPPED):
        data["status"] = "DONE" if status == SUCCEEDED else "SKIPPED"
        metrics = numbers_of(read_mapping(f"{job.run_dir}/{METRICS_JSON}"))
        return data | ({"metrics": metrics} if metrics else {}), False
    cause = record.get("cause") or PARENT_LOST
    message = record.get("error_message") or "the process that ran it is gone"
    data |= {"status": "FAILED", "cause": cause, "reason": f"{cause}: {message}"}
    data |= {"error": _text(f"{job.run_dir}/{ERROR_LOG}") or message}
    data |= {"log_tail": log_tail(job.run_dir)}
    if status == RUNNING or record.get("resumable"):
        data["resumable"] = True
    return data, True


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")[-_ERROR_TEXT:]
    except OSError:
        return ""
