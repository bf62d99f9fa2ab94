"""Sends the events of an attempt to the monitor, and sums up for the flow's process what was sent.

Without a monitor, none of the reporting code is loaded.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from argus_tasks.runs.context.sink import NoMonitor, RunSink
from argus_tasks.workers.attempts.messages import Outcome, Reported
from argus_tasks.workers.attempts.resource_usage import ResourceUsage

if TYPE_CHECKING:
    from argus_tasks.reporting.child_processes import ChildProcesses
    from argus_tasks.reporting.worker_reporter import JoinContext, WorkerEmitter
    from argus_tasks.workers.attempts.messages import Assignment
    from argus_tasks.workers.attempts.stop_flag import StopFlag

log = logging.getLogger("argus_tasks")


class AttemptReport:
    """What an attempt reports to the monitor; this one is for attempts without a monitor.

    Attributes:
        sink: receives the events of the run's context.
    """

    sink: RunSink = NoMonitor()

    def add_to(self, outcome: Outcome, epochs: int) -> Outcome:  # noqa: ARG002 - unused without a monitor
        """The outcome, with what was reported.

        `epochs` is the number of epochs that the run's context has sent.
        """
        return outcome


class _Joined(AttemptReport):
    def __init__(
        self, worker: WorkerEmitter, children: ChildProcesses | None, used: ResourceUsage
    ) -> None:
        self.sink = worker
        self._worker = worker
        self._children = children
        self._used = used

    def add_to(self, outcome: Outcome, epochs: int) -> Outcome:
        last = self._worker.last
        places, metrics = [last] if last else [], dict(self._worker.metrics)
        epochs += self._worker.train_epochs
        if self._children is not None:
            theirs = self._children.collect()
            places += theirs.places
            metrics = theirs.metrics | metrics
            epochs += theirs.epochs
        reported = Reported(tuple(places), metrics, epochs, self._used.taken())
        return replace(outcome, reported=reported)


@contextmanager
def attempt_report(
    assignment: Assignment,
    stop: StopFlag,
    abandoned: Callable[[], bool],
    used: ResourceUsage,
    *,
    alone: bool,
) -> Iterator[AttemptReport]:
    """Send what the experiment emits to the monitor's outbox, if there is a monitor.

    Args:
        assignment: the attempt.
        stop: whether the sweep is being stopped.
        abandoned: whether the attempt has been given up.
        used: measures the resources of the attempt.
        alone: whether this process runs no other attempt at the same time, so that its environment
            variables are the run's own.
    """
    context: JoinContext | None = assignment.join
    if context is None:
        yield AttemptReport()
        return
    from argus_tasks.reporting.child_processes import export_run
    from argus_tasks.reporting.worker_reporter import join_run

    with ExitStack() as stack:
        try:
            worker = stack.enter_context(join_run(context, stop.is_set, abandoned))
            children = None
            if alone:
                context.stop_file = f"/proc/{os.getpid()}/fd/{stop.descriptor}"
                children = stack.enter_context(export_run(context))
            report: AttemptReport = _Joined(worker, children, used)
        except Exception as error:  # noqa: BLE001 - a monitor never ends a run
            log.warning("argus-tasks: a run is not reported to the monitor: %r", error)
            report = AttemptReport()
        yield report


def preload_reporting() -> None:
    """Load the reporting code in a worker before its first attempt, if there is a monitor."""
    from argus_tasks.reporting.target import configured

    if configured():
        import argus_tasks.reporting.child_processes  # noqa: F401


def close_reporting() -> None:
    """Close the outbox of this process, which sends no more events."""
    joined = sys.modules.get("argus_tasks.reporting.worker_reporter")
    if joined is not None:
        with suppress(OSError):
            joined.close_writers()
