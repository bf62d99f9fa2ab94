"""Prefect's state hooks: they report the end of each config, and of a flow whose process is gone.

Of the task's, on_failure comes once, after the last attempt; a try that is to be repeated is known
by the Running after it. A task run that a stop has cancelled, or whose engine broke, has no hook:
`config_task` and the session's end report those.

The batch's own events are reported by the session, which runs within the flow and sees every end
of it but one: its process is gone. Then Prefect's runner calls the flow's hooks, in a process of
its own.
"""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow, Task
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.context import TaskRunContext

from argus_tasks.base.errors import BadInput
from argus_tasks.monitoring.orphaned_jobs import close_orphaned_batches
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.observer import SessionObserver

log = logging.getLogger("argus_tasks")


def add_hooks(task: Task[..., Any], observer: SessionObserver) -> None:
    """Have the task of a session report to its observer; nothing where nobody observes."""
    if not observer.reports:
        return

    def report_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:  # noqa: ARG001
        if task_run.run_count > 1:
            observer.tries_again(_index())

    def report_end(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:  # noqa: ARG001
        observer.ended(_index())

    task.on_running(report_retry)
    task.on_completion(report_end)
    task.on_failure(report_end)


def _index() -> int:
    context = TaskRunContext.get()
    assert context is not None, "a task's hooks run in its own context"
    return int(context.parameters["index"])


# Prefect's runner gives these by name.
def close_batch_of_dead_flow(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Close the batch of a flow run whose process is gone: cancelled without grace, or killed. One
    that has closed it itself is left alone."""
    try:
        request = resolve(**flow_run.parameters)
        close_orphaned_batches(request.results_root, str(flow_run.id))
    except BadInput:
        return  # called by a script, with its session: that one's process is not a runner's
    except Exception:
        log.warning("the end of %s was not reported to the monitor", flow_run.name, exc_info=True)
