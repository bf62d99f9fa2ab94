"""What a batch reports from threads of its own: heartbeats, resource snapshots, its environment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.guard import guarded
from argus_tasks.delivery.link import drain_deadline_s
from argus_tasks.reporting.daemons import Daemon, heartbeat, snapshots
from argus_tasks.reporting.roster import Roster
from argus_tasks.reporting.sinks import Sink

_ENVIRONMENT_WAIT_S = 1.0


@dataclass(frozen=True)
class EnvironmentReport:
    """Where the data of `env_snapshot` come from, and whether this process sends them.

    Attributes:
        roster: the reporters on this batch; one of them sends the environment.
        member: the name of this process's reporter in it.
        gather: returns the data.
        given: returns data that were gathered elsewhere; empty where there are none, None where
            nobody gathers any. They may arrive after the batch's end.
    """

    roster: Roster
    member: str
    gather: Callable[[], dict[str, Any]]
    given: Callable[[], dict[str, Any]] | None

    def data(self) -> dict[str, Any]:
        """The data to send; empty where another process sends them."""
        if not self.roster.claim_environment(self.member):
            return {}
        data = (self.given() if self.given is not None else {}) or self.gather()
        return {key: value for key, value in data.items() if value is not None}


class BackgroundReports:
    """The threads of one batch. Nothing is emitted after `close`, but for an environment that is
    gathered elsewhere: that one may be emitted until `leave`."""

    def __init__(
        self,
        sink: Sink,
        environment: EnvironmentReport,
        job_id: Callable[[], str],
        *,
        heartbeat_s: float | None,
        snapshot_s: float | None,
    ) -> None:
        """`job_id` returns the job that a heartbeat belongs to."""
        self._sink = sink
        self._report = environment
        self._job_id = job_id
        self._gate = threading.Lock()
        self._closed = self._left = False
        self._environment = threading.Thread(
            target=self._send_environment, name="argus-environment", daemon=True
        )
        self._daemons: list[Daemon] = []
        if heartbeat_s:
            self._daemons.append(heartbeat(heartbeat_s, self._send_heartbeat))
        if snapshot_s:
            self._daemons.append(snapshots(snapshot_s, self._send_snapshot))

    def start(self, more: Sequence[Daemon]) -> None:
        """Start the threads, and `more` that end with them."""
        self._environment.start()
        self._daemons += more
        for daemon in self._daemons:
            daemon.start()

    def close(self) -> None:
        """End the threads. Waits up to a second for an environment that is being gathered."""
        for daemon in self._daemons:
            daemon.end()
        if self._report.given is None:
            self._environment.join(min(_ENVIRONMENT_WAIT_S, drain_deadline_s()))
        with self._gate:
            self._closed = True

    def leave(self, limit_s: float) -> None:
        """Wait up to a second, at most `limit_s`, for the environment; then emit nothing more."""
        self._environment.join(min(_ENVIRONMENT_WAIT_S, limit_s))
        with self._gate:
            self._left = True

    @guarded(default=None)
    def _send_environment(self) -> None:
        data = self._report.data()
        with self._gate:
            too_late = self._closed if self._report.given is None else self._left
            if data and not too_late:
                self._sink.emit("env_snapshot", None, data)
                self._report.roster.environment_sent()

    def _send_heartbeat(self) -> None:
        with self._gate:
            if not self._closed:
                data = {"line": "heartbeat", "level": "debug"}
                self._sink.emit("log_line", self._job_id(), data)

    def _send_snapshot(self, data: dict[str, Any]) -> None:
        with self._gate:
            if not self._closed and data:
                self._sink.emit("resource_snapshot", None, data)
