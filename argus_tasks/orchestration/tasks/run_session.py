"""Run a session within a flow run: its task runs, and what mirrors and reports them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Failed

from argus_tasks.base import interrupts
from argus_tasks.base.deadline import ReservedDeadline
from argus_tasks.monitoring.sweep_monitor import reported
from argus_tasks.orchestration.limits.limits import LimitKeeper
from argus_tasks.orchestration.mirror.mirror import Mirror, make_the_last_calls_short
from argus_tasks.orchestration.mirror.repair import repair_quietly
from argus_tasks.orchestration.mirror.settling import SettleReport
from argus_tasks.orchestration.mirror.task_run_records import TaskRunRecords
from argus_tasks.orchestration.prefect_artifacts.monitor_plots import KeyPlots
from argus_tasks.orchestration.prefect_artifacts.sweep_artifacts import SweepArtifacts
from argus_tasks.orchestration.tasks.cancel import watching_for_cancel
from argus_tasks.orchestration.tasks.config_task import config_task
from argus_tasks.orchestration.tasks.submission import SubmissionLoop, run_in_order
from argus_tasks.planning.request import SweepRequest
from argus_tasks.prefect_compat.event_relay import Relay
from argus_tasks.prefect_compat.log_filters import quiet_task_runs
from argus_tasks.runs.ledger.summary import SweepFailed
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.machine_usage import UsageLog
from argus_tasks.session.observer import SessionObserver
from argus_tasks.session.sweep_session import SweepSession, new_session

_RELAY_LIMIT_S = 3.0
_LIMITS_LIMIT_S = 2.0
_START_S = 30.0
"""What a server that died, and is started again at the end, gets more."""
_RESERVE_S = 2.0
"""What settling leaves of the deadline to all that comes after it."""
_LAST_STATE_S = 2.0
_LAST_STATE_LEAST_S = 0.4
"""How long setting the flow's last state may take; Prefect tries twice."""
_REPAIR_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SessionParameter:
    """A session as a flow's parameter: opaque, so that Prefect neither walks nor stores 10 MB.

    Attributes:
        session: it has been warmed and checked.
        server: the name of the Prefect server it runs on; empty: the one Prefect is set to.
        revive_server: called when all has ended, before that server is asked what it knows; true
            where it had to be started again.
    """

    session: SweepSession
    server: str = ""
    revive_server: Callable[[], bool] = lambda: False

    def __repr__(self) -> str:
        return f"{len(self.session.plan.runs)} configs of '{self.session.request.name}'"


def run_request(request: SweepRequest) -> State[Any]:
    """Run a sweep as task runs of the flow run that this is called in.

    Errors: BadInput, also where the experiment does not load; nothing has been written then.
    """
    with loaded_session(request) as session:
        return run_session(SessionParameter(session))


@contextmanager
def loaded_session(request: SweepRequest) -> Iterator[SweepSession]:
    """A session of this request, its experiment loaded; within, signals stop it.

    Errors: BadInput, also where the experiment does not load; nothing has been written then.
    """
    session = new_session(request)
    with _heeded(session):
        try:
            session.warm()
            session.check()
            yield session
        finally:
            session.close()


def run_session(given: SessionParameter) -> State[Any]:
    """Run the session's configs as task runs of the flow run that this is called in, and close it;
    the state that the flow run ends in."""
    session, plan = given.session, given.session.plan
    logger = get_run_logger()
    with _heeded(session), ExitStack() as at_the_end:
        logger.info(
            "batch %s: %s configs, %s to run, results in %s",
            plan.batch_id,
            len(plan.runs),
            len(plan.to_do),
            session.request.results_root,
        )
        for note in plan.notes:
            logger.warning(note)
        with session, quiet_task_runs(), UsageLog(session.folder.path):
            _run_mirrored(given, at_the_end)
    return final_state(session)


def final_state(session: SweepSession) -> State[Any]:
    """Completed where all went well (also where a stop came after that), Cancelled where somebody
    stopped it, else Failed, also by one of its own rules; the summary says how."""
    summary = session.summary()
    if summary.ok:
        return Completed(message=summary.sentence())
    if session.stops.interrupted:
        return Cancelled(message=f"stopped by {session.stopped_by}: {summary.sentence()}")
    message = "; ".join([summary.sentence(), *summary.reasons])
    return Failed(message=message, data=SweepFailed(summary))


@contextmanager
def _heeded(session: SweepSession) -> Iterator[None]:
    with interrupts.listening(session.stops.on_signal):
        interrupts.stop_raising()
        yield


def _run_mirrored(given: SessionParameter, at_the_end: ExitStack) -> None:
    """The task runs, and what mirrors them; `at_the_end` is left when the session is closed."""
    session = given.session
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    flow_run_id = str(context.flow_run.id)
    server = given.server or str(PREFECT_API_URL.value())
    session.note_flow_run(flow_run_id, server, mirrored=False)  # first: we may be killed next
    repaired = repair_quietly(session.request.results_root, server, deadline_s=_REPAIR_LIMIT_S)
    if repaired:
        get_run_logger().info(
            "put right what %s earlier sessions had left on Prefect's server", len(repaired)
        )
    task_runs = TaskRunRecords()
    relay = Relay.install()
    mirror = Mirror(
        context.flow_run.id,
        relay,
        flow_name=context.flow.name if context.flow else "sweep",
        stopping=lambda: session.stopping,
    )
    deadline = session.stops.deadline
    limits = LimitKeeper(session.admission)
    plots: KeyPlots | None = None
    settled: SettleReport | None = None
    try:
        cancel = partial(session.stops.stop, "Prefect")
        with SweepArtifacts(session, flow_run_id) as artifacts:
            with watching_for_cancel(context.flow_run.id, cancel), reported(session) as observer:
                at_the_end.callback(observer.leave)
                plots = KeyPlots(session, observer)
                _run_configs(session, observer, task_runs, mirror)
            deadline.begin()
            plots.begin()
            artifacts.finish()
            limits.close(0.0)
            settled = _settle(given, mirror, task_runs)
            session.note_flow_run(
                flow_run_id, server, mirrored=settled.agrees, unmirrored=settled.unmirrored
            )
    finally:
        limits.close(deadline.share(_LIMITS_LIMIT_S))
        if plots is not None:
            plots.finish()
        mirror.close()
        if relay is not None:
            agrees = settled is not None and settled.agrees
            relay.uninstall(deadline.share(_RELAY_LIMIT_S) if agrees else 0.0)
        answers = settled is not None and settled.reachable
        most_s = deadline.share(_LAST_STATE_S) if answers else 0.0
        retries = 1 if answers and not session.stops.interrupted else 0
        make_the_last_calls_short(max(_LAST_STATE_LEAST_S, most_s), retries=retries)


def _run_configs(
    session: SweepSession, observer: SessionObserver, task_runs: TaskRunRecords, mirror: Mirror
) -> None:
    if session.request.execution.mode == "sequential":
        runner = AttemptRunner(session, observer)
        run_in_order(session, config_task(session, runner, observer, task_runs), task_runs)
    else:
        loop = SubmissionLoop(session, task_runs, mirror.admit)
        runner = AttemptRunner(session, observer, loop.attempt_started)
        loop.run(config_task(session, runner, observer, task_runs))


def _settle(given: SessionParameter, mirror: Mirror, task_runs: TaskRunRecords) -> SettleReport:
    """Hold the server to what the task runs have come to here."""
    session = given.session
    session.rules.close()  # all has ended: time that is over now stops nothing any more
    whole = session.stops.deadline
    if not session.stops.interrupted and given.revive_server():
        whole.allow(_START_S)
    deadline = ReservedDeadline(whole, _RESERVE_S)
    session.progress.waits_for("Prefect's server", deadline)
    report = mirror.settle(
        task_runs.expected, deadline=deadline, progress=session.progress.recorded
    )
    logger = get_run_logger()
    if report.made or report.mended:
        logger.info(
            "Prefect's server lacked %s task runs and had %s wrong; put right from the folders",
            report.made,
            report.mended,
        )
    return report
