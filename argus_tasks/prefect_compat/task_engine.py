"""Prefect's task engine without the parts that a config's task run does not need.

A config's task hands no assets on, caches and stores no result, and is no transaction: its result
is a folder. Prefect prepares all of that for every task run and every try, which costs the flow's
process more than its states, hooks and retries do. Those stay Prefect's.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import cache, partial
from importlib import import_module
from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.task_runners import ThreadPoolTaskRunner

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.prefect_compat.hook import PROVEN, Hook

ConfigTask = Task[[int, str], State[Any]]


class ConfigTaskRunner(ThreadPoolTaskRunner[Any]):
    """The flow's task runner: a thread of this process for each open task run."""

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self._threads: ThreadPoolExecutor | None = None

    @classmethod
    def current(cls) -> ConfigTaskRunner:
        """The task runner of the current flow run. Errors: ArgusTasksError where the flow was given
        another one."""
        context = FlowRunContext.get()
        runner = context.task_runner if context else None
        if not isinstance(runner, cls):
            raise ArgusTasksError(
                f"the sweep's flow has {type(runner).__name__} as its task runner; do not change"
                " it: where experiments run is set by `mode`."
            )
        return runner

    def start(self, task: ConfigTask, index: int, name: str) -> Future[State[Any]]:
        """Start a config's task run; the future has the state in which it ends.

        `Task.submit` does the same, and looks at the task's signature for it each time.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(sys.maxsize, "argus-tasks-config")
        return self._threads.submit(copy_context().run, runner_of(task), index, name)

    def __exit__(self, *error: Any) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        super().__exit__(*error)


def runner_of(task: ConfigTask) -> Callable[[int, str], State[Any]]:
    """A function that runs a config's task run on the calling thread and returns its final
    state."""
    if HOOK.stands_back() is not None:
        return partial(task, return_state=True)
    return partial(_run, task)


def _run(task: ConfigTask, index: int, name: str) -> State[Any]:
    state: State[Any] = _engine()(task=task, parameters={"index": index, "name": name}).run()
    return state


@cache
def _engine() -> Any:
    """A subclass of Prefect's engine."""
    engine: Any = import_module("prefect.task_engine").SyncTaskRunEngine
    task_run_logger = import_module("prefect.logging.loggers").task_run_logger
    get_result_store = import_module("prefect.results").get_result_store
    new_id = import_module("prefect._internal.uuid7").uuid7
    slots = _slots_context()

    class ConfigEngine(engine):  # type: ignore[misc]
        """The engine of a task that returns its own state, or raises."""

        def run(self) -> State[Any]:
            """Run the task until it needs no further attempt; returns the final state."""
            with self.start(task_run_id=new_id()):
                while self.is_running():
                    self.wait_until_ready()
                    with self.run_context():
                        self._try()
            state: State[Any] = self.state
            return state

        def _try(self) -> None:
            state = self.task.fn(self.parameters["index"], self.parameters["name"])
            assert isinstance(state, State)
            self.set_state(state)
            self._return_value = state
            self._telemetry.end_span_on_success()

        @contextmanager
        def setup_run_context(self, client: Any = None) -> Generator[None]:
            """The context of the task run, made once for all its attempts."""
            context = TaskRunContext.get()
            if context is not None and context.task_run is self.task_run:
                yield
                return
            with (
                TaskRunContext.model_construct(
                    task=self.task,
                    task_run=self.task_run,
                    parameters=self.parameters or {},
                    client=client or self.client,
                    result_store=get_result_store(),
                    persist_result=False,
                ),
                slots(),
            ):
                self.logger = task_run_logger(task_run=self.task_run, task=self.task)
                yield

    return ConfigEngine


def _slots_context() -> Callable[[], AbstractContextManager[Any]]:
    """A context that releases the slots of a `prefect.concurrency` that was cancelled within the
    task."""
    try:
        made: Any = import_module("prefect.concurrency.context").ConcurrencyContext
    except (ImportError, AttributeError):
        return nullcontext
    return made  # type: ignore[no-any-return]


def _probe() -> str | None:
    engine = import_module("prefect.task_engine").SyncTaskRunEngine
    needed = ("start", "is_running", "wait_until_ready", "run_context", "set_state", "state")
    missing = [name for name in needed if not hasattr(engine, name)]
    if missing:
        return f"its engine has no {', '.join(missing)}"
    if inspect.iscoroutinefunction(engine.wait_until_ready):
        return "its engine waits for retries differently"
    fields = inspect.signature(engine).parameters
    if not {"task", "parameters"} <= fields.keys():
        return "its engine is built differently"
    if not {"task_run_id"} <= inspect.signature(engine.start).parameters.keys():
        return "its engine is started differently"
    if "self.setup_run_context" not in inspect.getsource(engine):
        return "its engine builds the run's context differently"
    _engine()
    return None


HOOK = Hook(
    name="task engine",
    does="runs a config's task run without results, assets and transactions",
    without="Prefect's own engine runs it",
    gain="0.9 ms of the flow's process a run (3.8.8)",
    proven=PROVEN,
    probe=_probe,
)
