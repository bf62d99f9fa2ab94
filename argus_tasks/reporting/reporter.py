"""`Reporter`: one batch on the monitor, from any training script."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.guard import guarded
from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.delivery.events import (
    BATCH_ID_LIMIT,
    Source,
    fit_id,
)
from argus_tasks.delivery.link import Emitter, Link, drain_deadline_s, open_link
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.transport import HttpTransport
from argus_tasks.delivery.uploads import upload_record
from argus_tasks.reporting import active, environment, target
from argus_tasks.reporting.artifacts import artifact_files
from argus_tasks.reporting.child_processes import current
from argus_tasks.reporting.daemons import (
    HEARTBEAT_S,
    SNAPSHOT_S,
    STOP_POLL_S,
    Daemon,
    heartbeat,
    interval_s,
    snapshots,
    stop_poll,
)
from argus_tasks.reporting.job import JobContext, exits_well, reason_of
from argus_tasks.reporting.roster import BatchTotals, Roster
from argus_tasks.reporting.sinks import NullSink, OutboxSink, Sink, emit_any, wire_job_id
from argus_tasks.reporting.waiting import later_delivery
from argus_tasks.reporting.worker_reporter import JoinContext, WorkerEmitter

log = logging.getLogger("argus_tasks")

_ENVIRONMENT_WAIT_S = 1.0
_LEAST_WAIT_S = 0.02


class Reporter:
    """A batch: a context manager. It never raises into user code and never waits for the network,
    except when it is left: then for at most `ARGUS_DRAIN_DEADLINE_S` (5) seconds."""

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
        """A batch that opens when the reporter is entered, and ends when it is left.

        Args:
            batch_prefix: the batch's id is this and twelve hex digits.
            experiment_type: what kind of experiment this is, as the monitor shows it.
            source_project: the project; by default the name of git's top folder.
            command: what was started; by default the process's command line.
            n_total: how many jobs the batch will have.
            heartbeat: tell every so often that the batch lives: True is every 300 s, False is off,
                a number is seconds.
            stop_polling: ask whether somebody pressed the stop button: True is every 10 s.
            resource_snapshot: measure CPU, memory and GPUs: True is every 30 s.
            monitor_url: the monitor; by default ARGUS_URL, else `configs/monitor.yaml`.
            token: by default ARGUS_TOKEN, else what the token file holds.
            auto_upload_dirs: folders whose pictures and PDFs are sent when the reporter is left
                without an exception.
            batch_id: the whole id; wins over `resume_from`, which wins over the prefix.
            resume_from: the id of a batch to go on with.

        Raises:
            BadInput: an interval or the URL cannot be used.
        """
        self._heartbeat_s = interval_s("heartbeat", heartbeat, HEARTBEAT_S)
        self._stop_s = interval_s("stop_polling", stop_polling, STOP_POLL_S)
        self._snapshot_s = interval_s("resource_snapshot", resource_snapshot, SNAPSHOT_S)
        self._url = target.server_url(monitor_url)
        self._token = target.token_source(token, url=self._url, named=monitor_url)
        self._experiment_type = experiment_type
        self._project = source_project
        self._command = command
        self._n_total = n_total
        folders = (
            [auto_upload_dirs] if isinstance(auto_upload_dirs, str | Path) else auto_upload_dirs
        )
        self._upload_dirs = [Path(folder) for folder in folders or ()]
        self._resumed = batch_id is None and resume_from is not None
        chosen = batch_id or resume_from or active.chosen_batch_id(batch_prefix)
        self._batch_id = fit_id(chosen, BATCH_ID_LIMIT)
        self.labels: dict[str, Any] = {}
        """More keys for `batch_start`; set them before entering."""
        self.joins = True
        """Inside an experiment of a sweep: report for its run."""
        self.opens = True
        """Send `batch_start`, and what says that the batch lives; off for one that only closes."""
        self.on_stop: Callable[[str], None] = _unheard
        """Called once, from a thread, when a stop was requested, with who did."""
        self.on_end: Callable[[str], None] = _unheard
        """Called when the batch's last event is on the disk, with done or failed."""
        self.environment: Callable[[], dict[str, Any]] | None = None
        """What `env_snapshot` holds, where somebody else gathers it; empty where they could not.
        Then it may come as late as between `end` and `leave`."""
        self._sink: Sink = NullSink(self._batch_id)
        self._link: Link | None = None
        self._roster: Roster | None = None
        self._joined: WorkerEmitter | None = None
        self._source = Source(project=self._project or "unnamed")
        self._member = ""
        self._opened: Ref | None = None
        self._daemons: list[Daemon] = []
        self._environment: threading.Thread | None = None
        self._gate = threading.Lock()
        self._closed = True
        self._ended = self._left = False
        self._stop = threading.Event()
        self._jobs: list[str] = []
        self._last_job: str | None = None
        self._n_done = 0
        self._n_failed = 0
        self._failure: str | None = None
        self._started = 0.0
        self._pid = os.getpid()

    # --- What people use ---

    @property
    def batch_id(self) -> str:
        """The batch on the monitor."""
        return self._batch_id

    @property
    def stopped(self) -> bool:
        """Whether someone pressed the monitor's stop button; stays true."""
        if self._joined is not None:
            return self._joined.stopped
        return self._stop.is_set()

    def job(
        self, job_id: str, *, model: str | None = None, dataset: str | None = None, **labels: Any
    ) -> JobContext:
        """A job of this batch: a context manager. Inside a sweep it is the sweep's run.

        Args:
            job_id: a name; on the monitor six hex digits of the batch's id are added to it.
            model: what the monitor groups by.
            dataset: the other thing that it groups by.
            labels: more keys for `job_start`.
        """
        if self._joined is not None:
            return self._joined.job()
        labels = {"model": model, "dataset": dataset, **labels}
        return JobContext(
            self,
            self._sink,
            self.wire_job_id(job_id),
            labels={key: value for key, value in labels.items() if value is not None},
        )

    @guarded(default=None)
    def emit(self, event: str, **fields: Any) -> None:
        """Any event: `job_id` among the fields says whose, else the running job's. A type that the
        server does not know goes as a `log_line` that holds it."""
        emit_any(self._sink.emit, self._batch_id, self._running_job(), event, fields)

    # --- What the sweep's flow uses besides ---

    @property
    def sink(self) -> Sink:
        """Where this reporter's events go; `emit` there returns references for `after`."""
        return self._sink

    @property
    def opened(self) -> Ref | None:
        """Where the batch's opening event ends."""
        return self._opened

    def wire_job_id(self, job_id: str) -> str:
        """The job's id as the server has it: unique across batches by its last six digits."""
        return wire_job_id(self._batch_id, job_id)

    def join_context(self, job_id: str, after: Ref | None) -> JoinContext | None:
        """What a worker needs to emit for a job of this batch; None where nothing is emitted."""
        if self._link is None:
            return None
        return JoinContext(
            os.fspath(self._link.outbox.folder),
            self._batch_id,
            self.wire_job_id(job_id),
            self._source,
            str(after) if after else None,
        )

    @property
    def link(self) -> Link | None:
        """The process's way to the server; None where nothing is emitted."""
        return self._link

    def job_opened(self, job_id: str) -> None:
        """A job runs."""
        self._jobs.append(job_id)
        self._last_job = job_id

    def job_closed(self, job_id: str, *, failed: bool) -> None:
        """A job has ended; counted for the batch's end."""
        if job_id in self._jobs:
            self._jobs.remove(job_id)
        if failed:
            self._n_failed += 1
        else:
            self._n_done += 1

    def fail(self, reason: str) -> None:
        """Let the batch end as failed, for this reason, although no exception passes."""
        self._failure = redact(reason, known_secrets())

    # --- Coming in ---

    def __enter__(self) -> Reporter:
        self._pid = os.getpid()
        self._started = time.monotonic()
        self._closed = self._ended = self._left = False
        self._joined = current() if self.joins else None
        self._enter()
        active.push(self)
        return self

    @guarded(default=None)
    def _enter(self) -> None:
        if self._joined is not None:
            self._batch_id = self._joined.context.batch_id
            self._sink = OutboxSink(self._joined.emitter)
            return
        if target.disabled():
            return
        if self._url is None and not target.offline():
            log.warning(
                "argus-tasks: no monitor (monitor_url, ARGUS_URL or configs/monitor.yaml):"
                " events are not kept; ARGUS_OFFLINE=1 keeps them for later"
            )
            return
        self._source = environment.source(self._project, self._command)
        try:
            link = open_link(self._url, self._token)
        except (OSError, BadInput) as error:
            log.warning("argus-tasks: events are not kept: %s", error)
            return
        self._link = link
        emitter = Emitter(link.writer, self._batch_id, self._source)
        self._sink = OutboxSink(emitter)
        self._roster = Roster(link.outbox, self._batch_id)
        if self._resumed and self._roster.ended_before() == "done":
            log.warning(
                "argus-tasks: %s is done; the server takes its events but does not reopen it",
                self._batch_id,
            )
        self._member = f"{link.writer.begin()}/{next(_members)}"
        first, self._opened = self._roster.join(self._member, self._send_batch_start)
        if not first and self._opened is not None:
            emitter.stream.after = (self._opened,)
        if self.opens:
            self._start_daemons(link)

    def _send_batch_start(self, ends_of_dead_chains: list[Ref]) -> Ref | None:
        if not self.opens:
            self._sink.stream.after = tuple(ends_of_dead_chains)
            return None
        data: dict[str, Any] = {"experiment_type": self._experiment_type}
        data |= {"n_total_jobs": self._n_total, "command": self._source.command}
        data |= self.labels
        return self._sink.emit(
            "batch_start",
            None,
            {key: value for key, value in data.items() if value is not None},
            after=ends_of_dead_chains,
            sync=True,
        )

    def _start_daemons(self, link: Link) -> None:
        self._environment = threading.Thread(
            target=self._send_environment, name="argus-environment", daemon=True
        )
        self._environment.start()
        if self._heartbeat_s:
            self._daemons.append(heartbeat(self._heartbeat_s, self._beat))
        if self._snapshot_s:
            self._daemons.append(snapshots(self._snapshot_s, self._send_snapshot))
        url = self._url
        if self._stop_s and url is not None:
            self._daemons.append(
                stop_poll(
                    self._stop_s,
                    lambda: self._opened is None or link.outbox.acknowledged(self._opened),
                    lambda: HttpTransport(url, self._token),
                    self._batch_id,
                    self._on_stop,
                )
            )
        for daemon in self._daemons:
            daemon.start()

    # --- The daemons' doings ---

    @guarded(default=None)
    def _send_environment(self) -> None:
        if self._roster is not None and self._roster.claim_environment(self._member):
            data = self.environment() if self.environment is not None else {}
            if not data and not self._ended:
                data = environment.snapshot(self._command)
            data = {key: value for key, value in data.items() if value is not None}
            with self._gate:
                too_late = self._closed if self.environment is None else self._left
                if data and not too_late:
                    self._sink.emit("env_snapshot", None, data)
                    self._roster.environment_sent()

    def _beat(self) -> None:
        with self._gate:
            if not self._closed:
                data = {"line": "heartbeat", "level": "debug"}
                self._sink.emit("log_line", self._running_job() or self._batch_id, data)

    def _send_snapshot(self, data: dict[str, Any]) -> None:
        with self._gate:
            if not self._closed and data:
                self._sink.emit("resource_snapshot", None, data)

    def _on_stop(self, who: str) -> None:
        if not self._stop.is_set():
            self._stop.set()
            log.warning("argus-tasks: %s asked batch %s to stop", redact(who), self._batch_id)
            self.on_stop(redact(who))

    def _running_job(self) -> str | None:
        if self._joined is not None:
            return self._joined.context.job_id
        return self._jobs[-1] if self._jobs else None

    # --- Going ---

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        active.pop(self)
        # A forked child that leaves its parent's reporter ends nothing.
        if self._joined is None and self._pid == os.getpid():
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
        """The first half of being left: send the batch's end. Nothing is sent after it."""
        for daemon in self._daemons:
            daemon.end()
        if self._environment is not None and self.environment is None:
            self._environment.join(min(_ENVIRONMENT_WAIT_S, drain_deadline_s()))
        link = self._link
        if link is None or self._ended:
            return
        with self._gate:
            self._closed = True
        if error is None or exits_well(error):
            self._queue_uploads()
        else:
            self._failure = self._failure or reason_of(error)
        if self._roster is not None:
            self._roster.leave(
                self._member,
                n_done=self._n_done,
                n_failed=self._n_failed,
                reason=self._failure,
                place=link.writer.place(),
                close_batch=self._send_batch_end,
            )
        self._ended = True

    @guarded(default=None)
    def leave(self, limit_s: float | None = None) -> None:
        """The second half: wait at most so long for the server (by default
        `ARGUS_DRAIN_DEADLINE_S`), and let it go. 0: somebody else sends what is written."""
        limit_s = drain_deadline_s() if limit_s is None else limit_s
        end = time.monotonic() + limit_s
        if self._environment is not None:
            self._environment.join(min(_ENVIRONMENT_WAIT_S, limit_s))
        with self._gate:
            self._left = True
        link = self._link
        left_s = max(0.0, end - time.monotonic())
        if link is not None and not link.close(left_s) and link.sender is not None and limit_s:
            log.warning(
                "argus-tasks: not everything has reached the monitor; it waits on disk %s",
                later_delivery(sending=link.sends_in_background),
            )

    def _send_batch_end(self, totals: BatchTotals) -> None:
        data: dict[str, Any] = {
            "n_done": totals.n_done,
            "n_failed": totals.n_failed,
            "total_elapsed_s": round(time.monotonic() - self._started, 6),
        }
        if totals.reasons:
            data["reason"] = "; ".join(totals.reasons)
        kind = "batch_failed" if totals.reasons else "batch_done"
        self._sink.emit(kind, None, data, after=totals.after, sync=True)
        self.on_end(kind.removeprefix("batch_"))

    def _queue_uploads(self) -> None:
        for folder in self._upload_dirs:
            for file in artifact_files(folder, "**/*"):
                record = upload_record(
                    file,
                    batch_id=self._batch_id,
                    job_id=self._last_job,
                    label="batch",
                    to_batch=True,
                )
                self._sink.upload(record)


def _unheard(_: str) -> None:
    """Nobody wants to know."""


_members = itertools.count(1)
