"""One session from its first task run to the flow's last state."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from argus_tasks.base import interrupts
from argus_tasks.base.deadline import ReservedDeadline
from argus_tasks.monitoring.sweep_monitor import reported
from argus_tasks.orchestration.limits.limits import keep_limits
from argus_tasks.orchestration.mirror.mirror import Mirror, make_the_last_calls_short
from argus_tasks.orchestration.mirror.repair import repair_quietly
from argus_tasks.orchestration.mirror.settling import SettleReport
from argus_tasks.orchestration.mirror.task_run_records import TaskRunRecords
from argus_tasks.orchestration.prefect_artifacts.monitor_plots import KeyPlots
from argus_tasks.orchestration.prefect_artifacts.sweep_artifacts import SweepArtifacts
from argus_tasks.orchestration.tasks.cancel import heeding_cancel
from argus_tasks.orchestration.tasks.config_task import config_task
from argus_tasks.orchestration.tasks.drive import drive, one_by_one
from argus_tasks.orchestration.tasks.final_state import final_state
from argus_tasks.prefect_compat.event_relay import Relay
from argus_tasks.prefect_compat.log_filters import quiet_task_runs
from argus_tasks.session.machine_usage import UsageLog
from argus_tasks.session.sweep_session import SweepSession

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
    with interrupts.listening(session.stops.on_signal):
        interrupts.stop_raising()
        return _conduct(session)


def _conduct(session: SweepSession) -> State[Any]:
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
        for note in plan.notes:
            logger.warning(note)
        with session, quiet_task_runs(), UsageLog(session.folder.path):
            _run_mirrored(session)
    finally:
        session.close()
    session.conducted = True
    return final_state(session)


def in_flow_run() -> bool:
    """True inside somebody's flow run."""
    return FlowRunContext.get() is not None


def _run_mirrored(session: SweepSession) -> None:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    flow_run_id = str(context.flow_run.id)
    server = session.server or str(PREFECT_API_URL.value())
    session.note_flow_run(flow_run_id, server, mirrored=False)  # first: we may be killed next
    repaired = repair_quietly(session.request.results_root, server, deadline_s=_REPAIR_LIMIT_S)
    if repaired:
        get_run_logger().info(
            "put right what %s earlier sessions had left on Prefect's server", len(repaired)
        )
    account = TaskRunRecords()
    relay = Relay.install()
    mirror = Mirror(
        context.flow_run.id,
        relay,
        flow_name=context.flow.name if context.flow else "sweep",
        stopping=lambda: session.stopping,
    )
    deadline = session.stops.deadline
    limits = keep_limits(session.admission)
    plots = KeyPlots(session)
    settled: SettleReport | None = None
    try:
        cancel = partial(session.stop, "Prefect")
        with SweepArtifacts(session, flow_run_id) as artifacts:
            with heeding_cancel(context.flow_run.id, cancel), reported(session):
                task = config_task(session, account)
                if session.request.execution.mode == "sequential":
                    one_by_one(session, task, account)
                else:
                    drive(session, task, account, mirror.admit)
            deadline.begin()
            plots.begin()
            artifacts.finish()
            limits.close(0.0)
            settled = _settle(session, mirror, account)
        session.note_flow_run(flow_run_id, server, mirrored=settled.agrees)
    finally:
        limits.close(deadline.share(_LIMITS_LIMIT_S))
        plots.finish()
        mirror.close()
        if relay is not None:
            agrees = settled is not None and settled.agrees
            relay.uninstall(deadline.share(_RELAY_LIMIT_S) if agrees else 0.0)
        answers = settled is not None and settled.reachable
        most_s = deadline.share(_LAST_STATE_S) if answers else 0.0
        retries = 1 if answers and not session.stops.interrupted else 0
        make_the_last_calls_short(max(_LAST_STATE_LEAST_S, most_s), retries=retries)


def _settle(session: SweepSession, mirror: Mirror, account: TaskRunRecords) -> SettleReport:
    """Hold the server to the account."""
    session.rules.close()  # all has ended: time that is over now stops nothing any more
    whole = session.stops.deadline
    if not session.stops.interrupted and session.revive_server():
        whole.allow(_START_S)
    deadline = ReservedDeadline(whole, _RESERVE_S)
    session.progress.waits_for("Prefect's server", deadline)
    report = mirror.settle(account.expected, deadline=deadline, progress=session.progress.recorded)
    session.unmirrored = report.unmirrored
    logger = get_run_logger()
    if report.made or report.mended:
        logger.info(
            "Prefect's server lacked %s task runs and had %s wrong; put right from the folders",
            report.made,
            report.mended,
        )
    return report
