"""Prefect's task engine, less what a config's task run has no use for.

A config's task hands no assets on, caches and stores no result, and is no transaction: its result
is a folder. Prefect prepares all of that for every task run and every try, which costs the flow's
process more than its states, hooks and retries do. Those stay Prefect's.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from uuid import UUID

from prefect import Task
from prefect._internal.uuid7 import uuid7
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.loggers import task_run_logger
from prefect.results import get_result_store
from prefect.task_engine import SyncTaskRunEngine
from prefect.task_runners import ThreadPoolTaskRunner

from argus_tasks.base.errors import ArgusTasksError

ConfigTask = Task[[int, str], State[Any]]


class ConfigTaskRunner(ThreadPoolTaskRunner[Any]):
    """The flow's task runner: a thread of this process for each task run under way."""

    @classmethod
    def current(cls) -> ConfigTaskRunner:
        """That of the flow run that this is called in. Errors: ArgusTasksError where the flow was
        given another."""
        context = FlowRunContext.get()
        runner = context.task_runner if context else None
        if not isinstance(runner, cls):
            raise ArgusTasksError(
                f"the sweep's flow has {type(runner).__name__} as its task runner; leave its own:"
                " where experiments run is what `mode` says."
            )
        return runner

    def start(self, task: ConfigTask, index: int, name: str) -> Future[State[Any]]:
        """Start a config's task run; the future has the state in which it ends.

        `Task.submit` does the same, and looks at the task's signature for it each time.
        """
        assert self._executor is not None, "within the flow run"
        engine = ConfigEngine(task=task, parameters={"index": index, "name": name})
        return self._executor.submit(copy_context().run, engine.run, uuid7())


class ConfigEngine(SyncTaskRunEngine[[int, str], State[Any]]):
    """The engine of a task that returns its own state, or raises."""

    def run(self, task_run_id: UUID) -> State[Any]:
        """Run the task until no try is left or wanted; the state it ends in."""
        with self.start(task_run_id=task_run_id):
            while self.is_running():
                self.wait_until_ready()
                with self.run_context():
                    self._try()
        return self.state

    def _try(self) -> None:
        assert self.parameters is not None
        state = self.task.fn(self.parameters["index"], self.parameters["name"])
        assert isinstance(state, State)
        self.set_state(state)
        self._return_value = state
        self._telemetry.end_span_on_success()

    @contextmanager
    def setup_run_context(self, client: SyncPrefectClient | None = None) -> Generator[None]:
        """The context of the task run, made once for all of its tries."""
        assert self.task_run is not None
        context = TaskRunContext.get()
        if context is not None and context.task_run is self.task_run:
            yield
            return
        with TaskRunContext.model_construct(
            task=self.task,
            task_run=self.task_run,
            parameters=self.parameters or {},
            client=client or self.client,
            result_store=get_result_store(),
            persist_result=False,
        ):
            self.logger = task_run_logger(task_run=self.task_run, task=self.task)  # type: ignore[assignment]
            yield
