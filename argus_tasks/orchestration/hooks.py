"""Prefect's state hooks of the task runs: they tell the monitor how each config ends.

on_failure comes once, after the last attempt; a try that is to be repeated is known by the Running
after it. A task run that a stop has cancelled, or whose engine broke, has no hook: `config_task`
and the session's end tell of those.
"""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from argus_tasks.sweep.session import SweepSession


def hook_up(task: Task[..., Any], session: SweepSession) -> None:
    """Give the session's task its hooks; none where nobody is to be told."""
    monitor = session.monitor
    if not monitor.tells:
        return

    def tell_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:  # noqa: ARG001
        if task_run.run_count > 1:
            monitor.tries_again(_index())

    def tell_end(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> None:  # noqa: ARG001
        monitor.ended(_index())

    task.on_running(tell_retry)
    task.on_completion(tell_end)
    task.on_failure(tell_end)


def _index() -> int:
    context = TaskRunContext.get()
    assert context is not None, "a task's hooks run in its own context"
    return int(context.parameters["index"])
