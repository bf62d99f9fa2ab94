"""`Reporter`: reports one batch to the monitor, from any training script."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from argus_tasks.base.guard import guarded
from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.delivery.event_data import BATCH_ID_LIMIT, fit_id
from argus_tasks.delivery.link import drain_deadline_s
from argus_tasks.reporting import active, target
from argus_tasks.reporting.child_processes import current_emitter
from argus_tasks.reporting.daemons import HEARTBEAT_S, SNAPSHOT_S, STOP_POLL_S, interval_s
from argus_tasks.reporting.job import JobContext, artifact_files, exits_well, reason_of
from argus_tasks.reporting.open_batch import BatchOptions, JobCounts, OpenBatch, connect
from argus_tasks.reporting.sinks import NullSink, Sink, emit_any, wire_job_id
from argus_tasks.reporting.worker_reporter import WorkerEmitter

_LEAST_WAIT_S = 0.02


class Reporter:
    """Reports one batch to the monitor: `batch_start` when it is entered, `batch_done` or
    `batch_failed` when it is left.

    It raises nothing into user code and never waits for the network while the block runs. At the
    end of the block it waits until the server has accepted the events, for at most
    `ARGUS_DRAIN_DEADLINE_S` (5) seconds; what is left stays on the disk and is sent later. Without
    a server nothing is reported, and everything else works alike. Within an experiment of a sweep
    it joins the sweep's batch, which it neither opens nor closes.

    Examples:
        >>> with Reporter("bench", n_total=1) as reporter:
        ...     with reporter.job("transformer", dataset="etth1") as job:
        ...         for epoch in range(3):
        ...             job.epoch(epoch, train_loss=1.0 / (epoch + 1))
        ...         job.metrics({"mse": 0.44})
    """

    def __init__(
        self,
        batch_prefix: str = "batch",
        *,
        experiment_type: str | None = None,
        source_project: str | None = None,
        command: str | None = None,
        n_total: int | None = None,
        heartbeat: bool | float = True,
        stop_polling: bool | float = True,
        resource_snapshot: bool | float = True,
        monitor_url: str | None = None,
        token: str | None = None,
        auto_upload_dirs: Iterable[str | Path] | None = None,
        batch_id: str | None = None,
        resume_from: str | None = None,
    ) -> None:
        """Prepare a batch. It opens when the reporter is entered.

        Args:
            batch_prefix: what the batch's id begins with; twelve hex digits follow.
            experiment_type: the kind of experiment, as the monitor shows it.
            source_project: the project's name; by default the name of git's top folder.
            command: the command that was started; by default the process's command line.
            n_total: how many jobs the batch will have.
            heartbeat: how often to report that the batch is alive, in seconds; True is 300 s,
                False turns it off.
            stop_polling: how often to ask the monitor whether its stop button was pressed, in
                seconds; True is 10 s, False turns it off.
            resource_snapshot: how often to report CPU, memory, disk and GPU use, in seconds; True
                is 30 s, False turns it off.
            monitor_url: the monitor's URL; by default `ARGUS_URL`, else `configs/monitor.yaml`.
            token: the monitor's token; by default `ARGUS_TOKEN`, else the token file's.
            auto_upload_dirs: folders whose pictures and PDFs are uploaded when the reporter is left
                without an exception.
            batch_id: the whole batch id. It wins over `resume_from`, which wins over the id of
                `set_batch_id`, which wins over the prefix.
            resume_from: the id of an earlier batch that is to be continued.

        Raises:
            BadInput: an interval or the URL cannot be used.
        """
        self.options = BatchOptions(
            experiment_type,
            source_project,
            command,
            n_total,
            interval_s("heartbeat", heartbeat, HEARTBEAT_S),
            interval_s("stop_polling", stop_polling, STOP_POLL_S),
            interval_s("resource_snapshot", resource_snapshot, SNAPSHOT_S),
        )
        """How the batch is reported; changes count until the reporter is entered."""
        self._url = target.server_url(monitor_url)
        self._token = target.token_source(token, url=self._url, named=monitor_url)
        folders = (
            [auto_upload_dirs] if isinstance(auto_upload_dirs, str | Path) else auto_upload_dirs
        )
        self._upload_dirs = [Path(folder) for folder in folders or ()]
        self._resumed = batch_id is None and resume_from is not None
        chosen = batch_id or resume_from or active.chosen_batch_id(batch_prefix)
        self._batch_id = fit_id(chosen, BATCH_ID_LIMIT)
        self._sink: Sink = NullSink(self._batch_id)
        self._batch: OpenBatch | None = None
        self._worker: WorkerEmitter | None = None
        self._jobs = JobCounts()
        self._stop_requested = threading.Event()
        self._failure: str | None = None
        self._pid = os.getpid()

    @property
    def batch_id(self) -> str:
        """The batch's id on the monitor."""
        return self._batch_id

    @property
    def stopped(self) -> bool:
        """Whether somebody pressed the monitor's stop button. Once true it stays true."""
        if self._worker is not None:
            return self._worker.stopped
        return self._stop_requested.is_set()

    def job(
        self, job_id: str, *, model: str | None = None, dataset: str | None = None, **labels: Any
    ) -> JobContext:
        """A job of this batch, to be used in a `with` statement.

        Args:
            job_id: the job's name. On the monitor six hex digits of the batch's id are added.
            model: the model's name; the monitor groups jobs by it.
            dataset: the dataset's name; the monitor groups jobs by it.
            labels: more keys of `job_start`.

        Returns:
            The job. Within an experiment of a sweep it is the sweep's run, and the arguments are
            ignored.

        Examples:
            >>> with Reporter("bench") as reporter:
            ...     with reporter.job("mlp", model="mlp", dataset="digits", fold=1) as job:
            ...         job.log("trained")
        """
        if self._worker is not None:
            return self._worker.job()
        labels = {"model": model, "dataset": dataset, **labels}
        return JobContext(
            self,
            self._sink,
            wire_job_id(self._batch_id, job_id),
            labels={key: value for key, value in labels.items() if value is not None},
        )

    @guarded(default=None)
    def emit(self, event: str, **fields: Any) -> None:
        """Send an event of this batch. Never raises.

        Args:
            event: the event's type. A type that the server does not know is sent as a `log_line`
                that holds it.
            fields: the event's data. `job_id` is the job that the event belongs to; by default the
                running job.
        """
        emit_any(self._sink.emit, self._batch_id, self._running_job(), event, fields)

    def _running_job(self) -> str | None:
        return self._worker.context.job_id if self._worker is not None else self._jobs.running

    # --- For jobs and callbacks ---

    @property
    def sink(self) -> Sink:
        """Where this reporter's events go."""
        return self._sink

    @property
    def batch(self) -> OpenBatch | None:
        """The batch in the outbox; None where nothing is reported, and within a sweep."""
        return self._batch

    def job_opened(self, job_id: str) -> None:
        """Record that a job of this batch has started."""
        self._jobs.opened(job_id)

    def job_closed(self, job_id: str, *, failed: bool) -> None:
        """Count a job that has ended, for the batch's last event."""
        self._jobs.closed(job_id, failed=failed)

    def fail(self, reason: str) -> None:
        """Have the batch end as failed although no exception leaves the block.

        Args:
            reason: why, for people; secrets in it are masked.
        """
        self._failure = redact(reason, known_secrets())

    # --- The block ---

    def __enter__(self) -> Reporter:
        self._pid = os.getpid()
        self._batch = None
        self._worker = current_emitter()
        self._enter()
        active.push(self)
        return self

    @guarded(default=None)
    def _enter(self) -> None:
        if self._worker is not None:
            self._batch_id = self._worker.context.batch_id
            self._sink = self._worker.emitter
            return
        self._batch = connect(
            self._batch_id, self.options, self._url, self._token, self._jobs, self._stop_requested
        )
        if self._batch is not None:
            self._sink = self._batch.sink
            self._batch.open(self._url, self._token, resumed=self._resumed)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        active.pop(self)
        # A forked child that leaves its parent's reporter ends nothing.
        if self._worker is None and self._pid == os.getpid():
            self._exit(error)
        self._sink = NullSink(self._batch_id)

    def _exit(self, error: BaseException | None) -> None:
        end = time.monotonic() + drain_deadline_s()
        try:
            self.end(error)
        finally:
            self.leave(max(end - time.monotonic(), _LEAST_WAIT_S))

    @guarded(default=None)
    def end(self, error: BaseException | None) -> None:
        """Send the batch's last event; nothing is sent after it. The first half of leaving.

        Args:
            error: the exception that ends the batch; None where it ends by itself.
        """
        if self._batch is None:
            return
        uploads: list[Path] = []
        if error is None or exits_well(error):
            uploads = [file for top in self._upload_dirs for file in artifact_files(top, "**/*")]
        else:
            self._failure = self._failure or reason_of(error)
        self._batch.end(self._failure, uploads)

    @guarded(default=None)
    def leave(self, limit_s: float | None = None) -> None:
        """Wait until the server has accepted the events. The second half of leaving.

        Args:
            limit_s: see `OpenBatch.leave`.
        """
        if self._batch is not None:
            self._batch.leave(limit_s)
