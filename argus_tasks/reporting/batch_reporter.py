"""A batch as the flow of a sweep reports it: its jobs run in other processes, and join it there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from argus_tasks.base.guard import guarded
from argus_tasks.delivery.link import drain_deadline_s
from argus_tasks.delivery.outbox_folder import Outbox, folder_for
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.uploads import upload_record
from argus_tasks.reporting import active
from argus_tasks.reporting.reporter import Reporter
from argus_tasks.reporting.roster import Roster
from argus_tasks.reporting.target import server_url
from argus_tasks.reporting.worker_reporter import JoinContext, close_writers

_NONE: Sequence[str] = ()
_AWAY = ("waiting", "parked")
_PATIENCE_WITH_THE_AWAY_S = 1.0


class BatchReporter:
    """Opens a batch, emits its jobs' starts and ends in their order, and closes it.

    Nothing here raises; safe to use from many threads. Places in the outbox are texts (see
    `JoinContext.after`). Where no server is configured, nothing happens and places are None.
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
        """`shared_folder`: where workers of other hosts write their events; they are sent from
        here. By default all of them write to this host's outbox."""
        self._reporter = Reporter(
            batch_id=batch_id,
            n_total=n_total,
            experiment_type=experiment_type,
            source_project=project,
        )
        self._reporter.labels |= labels or {}
        self._reporter.joins = False
        self._shared = Outbox(shared_folder) if shared_folder is not None else None
        self._lock = threading.Lock()

    @property
    def batch_id(self) -> str:
        """The batch on the monitor."""
        return self._reporter.batch_id

    @guarded(default=None)
    def open(
        self,
        *,
        on_stop: Callable[[str], None],
        on_end: Callable[[str], None],
        environment: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """Send `batch_start`. `on_stop`: called from a thread, with who asked for the stop;
        `on_end`: called when the batch's end is on the disk, with done or failed."""
        self._reporter.on_stop = on_stop
        self._reporter.on_end = on_end
        self._reporter.environment = environment
        self._reporter.__enter__()
        link = self._reporter.link
        if self._shared is not None and link is not None and link.sender is not None:
            self._shared.create()
            link.sender.also(self._shared)

    @guarded(default=None)
    def open_for_closing(self, on_end: Callable[[str], None]) -> None:
        """Come in for a process that is gone: `batch_start` is not sent again."""
        self._reporter.opens = False
        self.open(on_stop=lambda _: None, on_end=on_end)

    @guarded(default=None)
    def context(self, name: str) -> JoinContext | None:
        """What a worker needs to emit for this job; `after` is to be set once it begins."""
        context = self._reporter.join_context(name, None)
        if context is None or self._shared is None:
            return context
        return replace(context, folder=str(self._shared.folder))

    @guarded(default=None)
    def begin(self, name: str, data: dict[str, Any]) -> str | None:
        """Send `job_start`; where it ends."""
        job_id = self._reporter.wire_job_id(name)
        with self._lock:
            self._reporter.job_opened(job_id)
        return _text(self._reporter.sink.emit("job_start", job_id, data))

    @guarded(default=None)
    def line(self, name: str, text: str, level: str, after: Sequence[str] | None) -> str | None:
        """Send a line of the job's log; where it ends. `after`: see `end`."""
        data = {"line": text, "level": level}
        job_id = self._reporter.wire_job_id(name)
        return _text(self._reporter.sink.emit("log_line", job_id, data, after=self._refs(after)))

    @guarded(default=None)
    def end(
        self, name: str, data: dict[str, Any], *, failed: bool, after: Sequence[str] | None = _NONE
    ) -> None:
        """Send `job_done` or `job_failed`, after these places; None: the worker is dead and has
        not told where its events end."""
        job_id = self._reporter.wire_job_id(name)
        kind = "job_failed" if failed else "job_done"
        self._reporter.sink.emit(kind, job_id, data, after=self._refs(after))
        self.count(job_id, failed=failed)

    @guarded(default=None)
    def attach(self, name: str, files: Sequence[Path]) -> None:
        """Send files as artifacts of a job, labelled `sweep`, once the job's events are there."""
        job_id = self._reporter.wire_job_id(name)
        for file in files:
            record = upload_record(file, batch_id=self.batch_id, job_id=job_id, label="sweep")
            self._reporter.sink.upload(record)

    def count(self, job_id: str, *, failed: bool) -> None:
        """Count a job that has ended, now or in an earlier session."""
        with self._lock:
            self._reporter.job_closed(job_id, failed=failed)

    @guarded(default=None)
    def ends_in_outbox(self) -> dict[tuple[str, int], bool]:
        """The ends that wait in the outbox, by the job's id on the monitor and its attempts:
        whether it failed. Ask before opening: then they begin to go."""
        found = {}
        marks = (b'"event_type":"job_done"', b'"event_type":"job_failed"')
        for _, line in Outbox(folder_for(server_url())).waiting_events():
            if any(mark in line for mark in marks):
                event = json.loads(line)
                if event["batch_id"] == self.batch_id:
                    key = (str(event["job_id"]), int(event["data"].get("attempts") or 1))
                    found[key] = event["event_type"] == "job_failed"
        return found

    def job_id(self, name: str) -> str:
        """The job's id on the monitor."""
        return self._reporter.wire_job_id(name)

    @guarded(default=None)
    def close(self, reason: str | None) -> None:
        """Send `batch_done`, or `batch_failed` for this reason."""
        active.pop(self._reporter)
        close_writers()
        if reason is not None:
            self._reporter.fail(reason)
        self._reporter.end(None)

    @guarded(default=None)
    def leave(self, limit_s: float | None = None) -> None:
        """Wait a while for the server (None: as long as any reporter, less for one that has been
        away), and let it go."""
        patience_s = drain_deadline_s()
        link = self._reporter.link
        if link is not None and link.sender is not None and link.sender.state.state in _AWAY:
            patience_s = min(patience_s, _PATIENCE_WITH_THE_AWAY_S)
        self._reporter.leave(patience_s if limit_s is None else min(limit_s, patience_s))

    def _refs(self, places: Sequence[str] | None) -> list[Ref]:
        if places is not None:
            return [Ref.parse(place) for place in places]
        link = self._reporter.link
        if link is None:
            return []
        boxes = [link.outbox, *([self._shared] if self._shared is not None else [])]
        return [ref for box in boxes for ref in Roster(box, self.batch_id).ends_of_dead_chains()]


def _text(place: Ref | None) -> str | None:
    return str(place) if place is not None else None
