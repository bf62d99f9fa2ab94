"""Report the batch of a sweep from the flow's process; its jobs run in worker processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from argus_tasks.base.guard import guarded
from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.delivery.event_data import BATCH_ID_LIMIT, fit_id
from argus_tasks.delivery.link import drain_deadline_s
from argus_tasks.delivery.outbox_folder import Outbox, folder_for
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.uploads import upload_record
from argus_tasks.reporting import active
from argus_tasks.reporting.open_batch import BatchOptions, JobCounts, OpenBatch, connect
from argus_tasks.reporting.roster import Roster
from argus_tasks.reporting.sinks import NullSink, Sink, emit_any, wire_job_id
from argus_tasks.reporting.target import server_url, token_source
from argus_tasks.reporting.worker_reporter import JoinContext, close_writers

_NONE: Sequence[str] = ()
_FAILING = ("waiting", "parked")
_WAIT_WHILE_FAILING_S = 1.0


class BatchReporter:
    """Opens a batch, sends the starts and ends of its jobs in order, and closes it.

    Nothing here raises, and many threads may use it at once. A place in the outbox is a text (see
    `JoinContext.after`). Where nothing is reported, every call does nothing, and places are None.
    """

    def __init__(
        self,
        batch_id: str,
        *,
        project: str,
        n_total: int,
        experiment_type: str | None = None,
        labels: Mapping[str, Any] | None = None,
        shared_folder: Path | None = None,
    ) -> None:
        """Prepare the batch; `open` opens it.

        Args:
            batch_id: its id on the monitor.
            project: the project's name.
            n_total: how many jobs it will have.
            experiment_type: the kind of experiment, as the monitor shows it.
            labels: more keys of `batch_start`.
            shared_folder: where workers on other hosts write their events; they are sent from this
                process. By default all workers write to this host's outbox.
        """
        self._options = BatchOptions(experiment_type, project, n_total=n_total)
        self._options.labels |= labels or {}
        self._batch_id = fit_id(batch_id, BATCH_ID_LIMIT)
        self._jobs = JobCounts()
        self._batch: OpenBatch | None = None
        self._shared = Outbox(shared_folder) if shared_folder is not None else None
        self._lock = threading.Lock()

    @property
    def batch_id(self) -> str:
        """The batch's id on the monitor."""
        return self._batch_id

    @property
    def _sink(self) -> Sink:
        return NullSink(self._batch_id) if self._batch is None else self._batch.sink

    @guarded(default=None)
    def emit(self, event: str, **fields: Any) -> None:
        """Send an event that user code in the flow's process emits."""
        emit_any(self._sink.emit, self._batch_id, self._jobs.running, event, fields)

    @guarded(default=None)
    def open(
        self,
        *,
        on_stop: Callable[[str], None],
        on_end: Callable[[str], None],
        environment: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """Send `batch_start`.

        Args:
            on_stop: called from a thread when a stop was requested, with the person's name.
            on_end: called when the batch's last event is on the disk, with "done" or "failed".
            environment: see `BatchOptions.environment`.
        """
        self._options.on_stop = on_stop
        self._options.on_end = on_end
        self._options.environment = environment
        active.push(self)
        url = server_url()
        token = token_source(url=url)
        stop_requested = threading.Event()
        batch = connect(self._batch_id, self._options, url, token, self._jobs, stop_requested)
        if batch is None:
            return
        self._batch = batch
        self._open(batch, url, token)
        if self._shared is not None and batch.link.sender is not None:
            self._shared.create()
            batch.link.sender.also(self._shared)

    @guarded(default=None)
    def _open(self, batch: OpenBatch, url: str | None, token: Callable[[], str | None]) -> None:
        batch.open(url, token)

    @guarded(default=None)
    def open_for_closing(self, on_end: Callable[[str], None]) -> None:
        """Open the batch of a process that has died, to close it: sends no `batch_start`.

        Args:
            on_end: see `open`.
        """
        self._options.opens = False
        self.open(on_stop=lambda _: None, on_end=on_end)

    @guarded(default=None)
    def context(self, name: str) -> JoinContext | None:
        """What a worker needs to emit events for a job; set its `after` when the job begins.

        Args:
            name: the job's name.

        Returns:
            None where nothing is reported.
        """
        if self._batch is None:
            return None
        context = self._batch.join_context(name, None)
        return replace(context, folder=str(self._shared.folder)) if self._shared else context

    @guarded(default=None)
    def begin(self, name: str, data: dict[str, Any]) -> str | None:
        """Send `job_start`.

        Args:
            name: the job's name.
            data: the event's data.

        Returns:
            Where the event ends in the outbox.
        """
        job_id = self.job_id(name)
        with self._lock:
            self._jobs.opened(job_id)
        return _text(self._sink.emit("job_start", job_id, data))

    @guarded(default=None)
    def line(self, name: str, text: str, level: str, after: Sequence[str] | None) -> str | None:
        """Send a line of a job's log.

        Args:
            name: the job's name.
            text: the line.
            level: debug, info, warning or error.
            after: see `end`.

        Returns:
            Where the event ends in the outbox.
        """
        data = {"line": text, "level": level}
        return _text(self._sink.emit("log_line", self.job_id(name), data, after=self._refs(after)))

    @guarded(default=None)
    def end(
        self, name: str, data: dict[str, Any], *, failed: bool, after: Sequence[str] | None = _NONE
    ) -> None:
        """Send `job_done` or `job_failed`.

        Args:
            name: the job's name.
            data: the event's data.
            failed: which of the two.
            after: the places in the outbox that are delivered before it. None where the worker has
                died before it could return its own: then all that dead processes have written.
        """
        job_id = self.job_id(name)
        kind = "job_failed" if failed else "job_done"
        self._sink.emit(kind, job_id, data, after=self._refs(after))
        self.count(job_id, failed=failed)

    @guarded(default=None)
    def attach(self, name: str, files: Sequence[Path]) -> None:
        """Upload files as artifacts of a job, labelled `sweep`, after the job's events.

        Args:
            name: the job's name.
            files: the files.
        """
        job_id = self.job_id(name)
        for file in files:
            record = upload_record(file, batch_id=self._batch_id, job_id=job_id, label="sweep")
            self._sink.upload(record)

    def count(self, job_id: str, *, failed: bool) -> None:
        """Count a job that has ended, in this session or an earlier one, for the batch's end.

        Args:
            job_id: its id on the monitor, or its name where it ended in an earlier session.
            failed: whether it has failed.
        """
        with self._lock:
            self._jobs.closed(job_id, failed=failed)

    @guarded(default=None)
    def ends_in_outbox(self) -> dict[tuple[str, int], bool]:
        """The ends of this batch's jobs that are in the outbox and not delivered yet. Call it
        before `open`, which starts to deliver them.

        Returns:
            Whether the job has failed, by its id on the monitor and its number of attempts.
        """
        found = {}
        marks = (b'"event_type":"job_done"', b'"event_type":"job_failed"')
        for _, line in Outbox(folder_for(server_url())).waiting_events():
            if any(mark in line for mark in marks):
                event = json.loads(line)
                if event["batch_id"] == self._batch_id:
                    key = (str(event["job_id"]), int(event["data"].get("attempts") or 1))
                    found[key] = event["event_type"] == "job_failed"
        return found

    def job_id(self, name: str) -> str:
        """The id on the monitor of the job with this name."""
        return wire_job_id(self._batch_id, name)

    @guarded(default=None)
    def close(self, reason: str | None) -> None:
        """Send `batch_done`, or `batch_failed`.

        Args:
            reason: why the batch has failed; None where it has not.
        """
        active.pop(self)
        close_writers()
        if self._batch is not None:
            self._batch.end(None if reason is None else redact(reason, known_secrets()))

    @guarded(default=None)
    def leave(self, limit_s: float | None = None) -> None:
        """Wait until the server has accepted the events, then disconnect.

        Args:
            limit_s: how long to wait at most, in seconds. It is never longer than
                `ARGUS_DRAIN_DEADLINE_S`, nor than 1 s for a server that does not answer.
        """
        if self._batch is None:
            return
        limits_s = [drain_deadline_s()] + ([] if limit_s is None else [limit_s])
        sender = self._batch.link.sender
        if sender is not None and sender.state.state in _FAILING:
            limits_s.append(_WAIT_WHILE_FAILING_S)
        self._batch.leave(min(limits_s))

    def _refs(self, places: Sequence[str] | None) -> list[Ref]:
        if places is not None:
            return [Ref.parse(place) for place in places]
        if self._batch is None:
            return []
        boxes = [self._batch.link.outbox, *([self._shared] if self._shared is not None else [])]
        return [ref for box in boxes for ref in Roster(box, self._batch_id).ends_of_dead_chains()]


def _text(place: Ref | None) -> str | None:
    return str(place) if place is not None else None
