"""An attempt that a monitor is told of: what is set up around it, and what it came to for the flow.

Without a monitor nothing of this is loaded.
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
from argus_tasks.workers.attempts.resource_usage import Used

if TYPE_CHECKING:
    from argus_tasks.reporting.child_processes import ChildProcesses
    from argus_tasks.reporting.worker_reporter import JoinContext, WorkerEmitter
    from argus_tasks.workers.attempts.messages import Assignment
    from argus_tasks.workers.attempts.stop_flag import StopFlag

log = logging.getLogger("argus_tasks")


class Watch:
    """Around one attempt.

    Attributes:
        sink: for the run's context.
    """

    sink: RunSink = NoMonitor()

    def sign(self, outcome: Outcome, epochs: int) -> Outcome:  # noqa: ARG002 - a Watch's
        """The outcome with what the flow has to know; `epochs`: how many the context has sent."""
        return outcome


class _Joined(Watch):
    def __init__(self, worker: WorkerEmitter, children: ChildProcesses | None, used: Used) -> None:
        self.sink = worker
        self._worker = worker
        self._children = children
        self._used = used

    def sign(self, outcome: Outcome, epochs: int) -> Outcome:
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
def watched(
    assignment: Assignment,
    stop: StopFlag,
    disowned: Callable[[], bool],
    used: Used,
    *,
    alone: bool,
) -> Iterator[Watch]:
    """Have what the experiment emits go to the monitor's outbox, where there is one.

    `alone`: this process runs nothing else meanwhile, so its environment is the run's own.
    """
    context: JoinContext | None = assignment.join
    if context is None:
        yield Watch()
        return
    from argus_tasks.reporting.child_processes import export_run
    from argus_tasks.reporting.worker_reporter import join_run

    with ExitStack() as stack:
        try:
            worker = stack.enter_context(join_run(context, stop.is_set, disowned))
            children = None
            if alone:
                context.stop_file = f"/proc/{os.getpid()}/fd/{stop.descriptor}"
                children = stack.enter_context(export_run(context))
            watch: Watch = _Joined(worker, children, used)
        except Exception as error:  # noqa: BLE001 - a monitor never ends a run
            log.warning("argus-tasks: the monitor is not told of a run: %r", error)
            watch = Watch()
        yield watch


def load_early() -> None:
    """In a worker, before its first attempt: load what telling a monitor takes, if there is one."""
    from argus_tasks.reporting.target import configured

    if configured():
        import argus_tasks.reporting.child_processes  # noqa: F401


def end_chains() -> None:
    """In a process that goes away cleanly: nothing more will be told from here."""
    joined = sys.modules.get("argus_tasks.reporting.worker_reporter")
    if joined is not None:
        with suppress(OSError):
            joined.close_writers()
