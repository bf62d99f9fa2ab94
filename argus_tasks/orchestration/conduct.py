"""One session from its first task run to the flow's last state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from argus_tasks.orchestration.config_task import config_task
from argus_tasks.orchestration.drive import drive
from argus_tasks.orchestration.final_state import final_state
from argus_tasks.orchestration.quiet import quiet_task_runs
from argus_tasks.orchestration.relay import Relay
from argus_tasks.sweep.plan import PlannedRun
from argus_tasks.sweep.session import SweepSession


class Prepared:
    """A session as a flow parameter: opaque, so that Prefect neither walks nor stores 10 MB."""

    __slots__ = ("session",)

    def __init__(self, session: SweepSession) -> None:
        self.session = session

    def __repr__(self) -> str:
        return f"{len(self.session.plan.runs)} configs of '{self.session.request.name}'"


def conduct(session: SweepSession) -> State[Any]:
    """Run the session's configs as task runs of the flow run that this is called in.

    Errors: BadInput where the experiment does not load; nothing has been written then.
    """
    logger = get_run_logger()
    session.warm()
    try:
        session.check()
        plan = session.plan
        logger.info(
            "batch %s: %s configs, %s to run, results in %s",
            plan.batch_id,
            len(plan.runs),
            len(plan.to_do),
            session.request.results_root,
        )
        with session, quiet_task_runs(), _relayed():
            task = config_task(session)

            def submit(run: PlannedRun) -> PrefectFuture[Any]:
                return task.submit(run.index, run.name)

            if session.request.mode == "sequential":
                _one_by_one(session, task)
            else:
                drive(session, submit, lambda _: None)
    finally:
        session.close()
    return final_state(session)


@contextmanager
def _relayed() -> Iterator[None]:
    relay = Relay.install()
    try:
        yield
    finally:
        if relay is not None:
            relay.uninstall()


def _one_by_one(session: SweepSession, task: Any) -> None:
    """Call each task in the flow's own thread, where a debugger works."""
    for run in session.plan.to_do:
        if session.stopping:
            return
        try:
            task(run.index, run.name, return_state=True)
        except KeyboardInterrupt:
            session.stop("user")


def in_flow_run() -> bool:
    """True inside somebody's flow run."""
    return FlowRunContext.get() is not None
