"""Prefect's state hooks: they tell the monitor how each config, and a flow that was ended, ended.

Of the task's, on_failure comes once, after the last attempt; a try that is to be repeated is known
by the Running after it. A task run that a stop has cancelled, or whose engine broke, has no hook:
`config_task` and the session's end tell of those.

The batch's own events are told by the session, which runs within the flow and sees all of its ends
but one: its process is gone. Then Prefect's runner calls the flow's hooks, in a process of its own.
"""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow, Task
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.context import TaskRunContext

from argus_tasks.base.errors import BadInput
from argus_tasks.monitoring.orphaned_jobs import close_lost_batches
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.sweep_session import SweepSession

log = logging.getLogger("argus_tasks")


def hook_up(task: Task[..., Any], session: SweepSession) -> None:
    """Give the session's task its hooks; none where nobody is to be told."""
    observer = session.observer
    if not observer.reports:
        return

    def tell_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:  # noqa: ARG001
        if task_run.run_count > 1:
            observer.tries_again(_index())

    def tell_end(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:  # noqa: ARG001
        observer.ended(_index())

    task.on_running(tell_retry)
    task.on_completion(tell_end)
    task.on_failure(tell_end)


def _index() -> int:
    context = TaskRunContext.get()
    assert context is not None, "a task's hooks run in its own context"
    return int(context.parameters["index"])


# Prefect's runner gives these by name.
def close_dead_session(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Close the batch of a flow run whose process is gone: cancelled without grace, or killed. One
    that has closed it itself is left alone."""
    try:
        request = resolve(**flow_run.parameters)
        close_lost_batches(request.results_root, str(flow_run.id))
    except BadInput:
        return  # called by a script, with its session: that one's process is not a runner's
    except Exception:
        log.warning("the monitor was not told of the end of %s", flow_run.name, exc_info=True)
