"""The Prefect task that a config becomes."""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.states import Cancelled, Completed

from argus_tasks.orchestration.mirror.task_run_records import TaskRunRecords
from argus_tasks.orchestration.prefect_api.expected_task_runs import TASK_NAME
from argus_tasks.orchestration.tasks.hooks import add_hooks
from argus_tasks.runs.record.layout import SKIPPED, SUCCEEDED
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.observer import SessionObserver
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.workers.attempts.messages import Outcome


class RunFailed(Exception):
    """A config's attempt failed; what failed it stands in the message and in the run folder.

    Attributes:
        index: the config's place in the plan.
        try_number: which try of this session it was, from 1.
    """

    def __init__(self, message: str, index: int, try_number: int) -> None:
        super().__init__(message)
        self.index = index
        self.try_number = try_number


def config_task(
    session: SweepSession,
    runner: AttemptRunner,
    observer: SessionObserver,
    task_runs: TaskRunRecords,
) -> Task[[int, str], State[Any]]:
    """The task of a session; its parameters are a config's index and its readable name.

    The index and no config travels: Prefect walks every parameter of every task run.
    """

    def config(index: int, name: str) -> State[Any]:
        context = TaskRunContext.get()
        assert context is not None
        task_runs.started(name, context.task_run)
        try_number = context.task_run.run_count
        session.admission.retry_delays.before(try_number)
        with session.admission.admitted(index):
            outcome = runner.run_one(index, try_number)
        if outcome.ending.resumable:  # Cancelled: Prefect calls no hook
            observer.ended(index)
        return _state(session, index, try_number, outcome)

    # Prefect calls nothing but a plain function here; anything else never retries, in silence.
    def retry_condition(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
        failed = state.data if isinstance(state.data, RunFailed) else None
        if failed is None:
            failed = state.result(raise_on_failure=False)  # type: ignore[assignment]
        return isinstance(failed, RunFailed) and runner.wants_retry(failed.index, failed.try_number)

    task = Task(
        fn=config,
        name=TASK_NAME,
        task_run_name="{name}",
        retries=runner.most_tries - 1,
        retry_delay_seconds=0,  # the wait is the session's: a stop must be able to end it
        retry_condition_fn=retry_condition,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    add_hooks(task, observer)
    return task


def _state(session: SweepSession, index: int, try_number: int, outcome: Outcome) -> State[Any]:
    ending = outcome.ending
    folder = session.results.run_dir(index) or "it has no folder"
    if ending.status == SUCCEEDED:
        return Completed(message=folder)
    if ending.status == SKIPPED:
        return Completed(name="Skipped", message=f"{ending.error_message} ({folder})")
    if ending.resumable:
        return Cancelled(message=f"{ending.cause} ({folder})")
    raise RunFailed(f"{ending.cause}: {ending.error_message} ({folder})", index, try_number)
