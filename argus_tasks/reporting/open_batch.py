"""One batch in the outbox of this host: opened, kept alive, closed, and its events delivered."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.redact import redact
from argus_tasks.delivery.link import Emitter, Link, drain_deadline_s, open_link
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.transport import HttpTransport
from argus_tasks.delivery.uploads import upload_record
from argus_tasks.reporting import environment, target
from argus_tasks.reporting.background_reports import BackgroundReports, EnvironmentReport
from argus_tasks.reporting.daemons import HEARTBEAT_S, SNAPSHOT_S, STOP_POLL_S, Daemon, stop_poll
from argus_tasks.reporting.roster import BatchTotals, Roster
from argus_tasks.reporting.sinks import wire_job_id
from argus_tasks.reporting.undelivered import later_delivery
from argus_tasks.reporting.worker_reporter import JoinContext

log = logging.getLogger("argus_tasks")


def _ignore(_: str) -> None:
    """The default of a callback."""


@dataclass
class BatchOptions:
    """How a batch is reported. Intervals are in seconds; None turns that report off.

    Attributes:
        experiment_type: the kind of experiment, as the monitor shows it.
        project: the project's name; by default the name of git's top folder.
        command: the command that was started; by default the process's command line.
        n_total: the number of jobs that the batch will have.
        heartbeat_s: the interval of heartbeats.
        stop_poll_s: the interval at which the monitor is asked for a stop request.
        snapshot_s: the interval of resource snapshots.
        labels: more keys of `batch_start`.
        opens: whether to send `batch_start`, heartbeats and snapshots; False where the batch was
            opened by another process and is only closed from here.
        on_stop: called once, from a thread, with the name of the person who requested a stop.
        on_end: called with "done" or "failed" when the batch's last event is on the disk.
        environment: returns the data of `env_snapshot`, or nothing where there is none. The data
            may still arrive between `end` and `leave`. By default the Reporter gathers it.
    """

    experiment_type: str | None = None
    project: str | None = None
    command: str | None = None
    n_total: int | None = None
    heartbeat_s: float | None = HEARTBEAT_S
    stop_poll_s: float | None = STOP_POLL_S
    snapshot_s: float | None = SNAPSHOT_S
    labels: dict[str, Any] = field(default_factory=dict)
    opens: bool = True
    on_stop: Callable[[str], None] = _ignore
    on_end: Callable[[str], None] = _ignore
    environment: Callable[[], dict[str, Any]] | None = None


class JobCounts:
    """The jobs of a batch that this process reports: which are running, how many have ended."""

    def __init__(self) -> None:
        self._running: list[str] = []
        self.last: str | None = None
        """The id of the job that was started last."""
        self.n_done = 0
        self.n_failed = 0

    @property
    def running(self) -> str | None:
        """The id of the running job that was started last; None where no job is running."""
        return self._running[-1] if self._running else None

    def opened(self, job_id: str) -> None:
        """Record that a job has started."""
        self._running.append(job_id)
        self.last = job_id

    def closed(self, job_id: str, *, failed: bool) -> None:
        """Record that a job has ended."""
        if job_id in self._running:
            self._running.remove(job_id)
        if failed:
            self.n_failed += 1
        else:
            self.n_done += 1


class OpenBatch:
    """A batch whose events go to an outbox. Made by `connect`; call `open`, `end`, then `leave`."""

    def __init__(
        self,
        batch_id: str,
        options: BatchOptions,
        link: Link,
        jobs: JobCounts,
        stop_requested: threading.Event,
    ) -> None:
        self.batch_id = batch_id
        self.options = options
        self.link = link
        self.jobs = jobs
        self.opened: Ref | None = None
        """Where the batch's first event ends in the outbox."""
        self._source = environment.source(options.project, options.command)
        self.sink = Emitter(link.writer, batch_id, self._source)
        self._roster: Roster | None = None
        self._member = ""
        self._background: BackgroundReports | None = None
        self._stop_requested = stop_requested
        self._started = time.monotonic()
        self._ended = False

    def join_context(self, job_id: str, after: Ref | None) -> JoinContext:
        """What a worker process needs to emit events for a job of this batch.

        Args:
            job_id: the job's name, or its id on the monitor.
            after: where the job's `job_start` ends in the outbox.
        """
        return JoinContext(
            os.fspath(self.link.outbox.folder),
            self.batch_id,
            wire_job_id(self.batch_id, job_id),
            self._source,
            str(after) if after else None,
        )

    # --- Opening ---

    def open(
        self, url: str | None, token: Callable[[], str | None], *, resumed: bool = False
    ) -> None:
        """Send `batch_start` if no other process of this host reports on the batch, and start the
        background reports. Raises OSError or TimeoutError where the outbox cannot be used."""
        roster = self._roster = Roster(self.link.outbox, self.batch_id)
        if resumed and roster.ended_before() == "done":
            log.warning(
                "argus-tasks: %s is done; the server takes its events but does not reopen it",
                self.batch_id,
            )
        self._member = f"{self.link.writer.begin()}/{next(_members)}"
        first, self.opened = roster.join(self._member, self._send_start)
        if not first and self.opened is not None:
            self.sink.stream.after = (self.opened,)
        if self.options.opens:
            self._background = BackgroundReports(
                self.sink,
                EnvironmentReport(roster, self._member, self._snapshot, self.options.environment),
                lambda: self.jobs.running or self.batch_id,
                heartbeat_s=self.options.heartbeat_s,
                snapshot_s=self.options.snapshot_s,
            )
            self._background.start([*self._stop_poll(url, token)])

    def _send_start(self, dead_chains: list[Ref]) -> Ref | None:
        if not self.options.opens:
            self.sink.stream.after = tuple(dead_chains)
            return None
        data: dict[str, Any] = {"experiment_type": self.options.experiment_type}
        data |= {"n_total_jobs": self.options.n_total, "command": self._source.command}
        data |= self.options.labels
        known = {key: value for key, value in data.items() if value is not None}
        return self.sink.emit("batch_start", None, known, after=dead_chains, sync=True)

    def _snapshot(self) -> dict[str, Any]:
        return {} if self._ended else environment.snapshot(self.options.command)

    def _stop_poll(self, url: str | None, token: Callable[[], str | None]) -> list[Daemon]:
        if not self.options.stop_poll_s or url is None:
            return []
        return [
            stop_poll(
                self.options.stop_poll_s,
                lambda: self.opened is None or self.link.outbox.acknowledged(self.opened),
                lambda: HttpTransport(url, token),
                self.batch_id,
                self._on_stop,
            )
        ]

    def _on_stop(self, who: str) -> None:
        if not self._stop_requested.is_set():
            self._stop_requested.set()
            log.warning("argus-tasks: %s asked batch %s to stop", redact(who), self.batch_id)
            self.options.on_stop(redact(who))

    # --- Closing ---

    def end(self, reason: str | None, uploads: Sequence[Path] = ()) -> None:
        """Send the batch's last event, unless another process of this host still reports on it.
        Nothing is sent after it.

        Args:
            reason: why the batch has failed; None where it has not.
            uploads: files to send as artifacts of the batch.
        """
        if self._ended:
            return
        if self._background is not None:
            self._background.close()
        for file in uploads:
            self.sink.upload(
                upload_record(
                    file,
                    batch_id=self.batch_id,
                    job_id=self.jobs.last,
                    label="batch",
                    to_batch=True,
                )
            )
        if self._roster is not None:
            self._roster.leave(
                self._member,
                n_done=self.jobs.n_done,
                n_failed=self.jobs.n_failed,
                reason=reason,
                place=self.link.writer.place(),
                close_batch=self._send_end,
            )
        self._ended = True

    def _send_end(self, totals: BatchTotals) -> None:
        data: dict[str, Any] = {
            "n_done": totals.n_done,
            "n_failed": totals.n_failed,
            "total_elapsed_s": round(time.monotonic() - self._started, 6),
        }
        if totals.reasons:
            data["reason"] = "; ".join(totals.reasons)
        kind = "batch_failed" if totals.reasons else "batch_done"
        self.sink.emit(kind, None, data, after=totals.after, sync=True)
        self.options.on_end(kind.removeprefix("batch_"))

    def leave(self, limit_s: float | None = None) -> None:
        """Wait until the server has accepted the events, then disconnect.

        Args:
            limit_s: how long to wait at most, in seconds; by default `ARGUS_DRAIN_DEADLINE_S`.
                With 0 another process sends what has been written.
        """
        limit_s = drain_deadline_s() if limit_s is None else limit_s
        end = time.monotonic() + limit_s
        if self._background is not None:
            self._background.leave(limit_s)
        left_s = max(0.0, end - time.monotonic())
        if not self.link.close(left_s) and self.link.sender is not None and limit_s:
            log.warning(
                "argus-tasks: some events have not reached the monitor and wait on this disk; %s",
                later_delivery(sending=self.link.sends_in_background),
            )


def connect(
    batch_id: str,
    options: BatchOptions,
    url: str | None,
    token: Callable[[], str | None],
    jobs: JobCounts,
    stop_requested: threading.Event,
) -> OpenBatch | None:
    """The batch in this host's outbox for the server at `url`, not opened yet.

    Args:
        batch_id: the batch's id on the monitor.
        options: how it is reported.
        url: the server; None where there is none.
        token: returns the token for the server at each request.
        jobs: the jobs that this process reports.
        stop_requested: set when the monitor says that somebody requested a stop.

    Returns:
        None, after one line in the log where that is not wanted, if nothing is reported: reporting
        is disabled, there is no server, or the outbox cannot be used.
    """
    if target.disabled():
        return None
    if url is None and not target.offline():
        log.warning(
            "argus-tasks: no monitor (monitor_url, ARGUS_URL or configs/monitor.yaml):"
            " events are not kept; ARGUS_OFFLINE=1 keeps them for later"
        )
        return None
    try:
        link = open_link(url, token)
    except (OSError, BadInput) as error:
        log.warning("argus-tasks: events are not kept: %s", error)
        return None
    return OpenBatch(batch_id, options, link, jobs, stop_requested)


_members = itertools.count(1)
