"""One session from its first task run to the flow's last state."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from argus_tasks.orchestration.account import Account
from argus_tasks.orchestration.artifacts import SweepArtifacts
from argus_tasks.orchestration.cancelling import heeding_cancel
from argus_tasks.orchestration.config_task import config_task
from argus_tasks.orchestration.drive import drive, one_by_one
from argus_tasks.orchestration.final_state import final_state
from argus_tasks.orchestration.key_plots import KeyPlots
from argus_tasks.orchestration.limits import keep_limits
from argus_tasks.orchestration.mirror import Mirror, make_the_last_calls_short
from argus_tasks.orchestration.past import repair_quietly
from argus_tasks.orchestration.quiet import quiet_task_runs
from argus_tasks.orchestration.relay import Relay
from argus_tasks.sweep.monitor import told
from argus_tasks.sweep.session import SweepSession
from argus_tasks.sweep.usage import UsageLog

SETTLE_LIMIT_S = 120.0
_SETTLE_STOPPED_S = 1.0
_SETTLE_HURRIED_S = 0.5
_RELAY_LIMIT_S = 3.0
_LIMITS_LIMIT_S = 2.0
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
    account = Account()
    relay = Relay.install()
    mirror = Mirror(
        context.flow_run.id,
        relay,
        flow_name=context.flow.name if context.flow else "sweep",
        stopping=lambda: session.stopping,
    )
    limits = keep_limits(session.admission)
    plots = KeyPlots(session)
    agrees = False
    try:
        cancel = partial(session.stop, "Prefect")
        with SweepArtifacts(session, flow_run_id) as artifacts:
            with heeding_cancel(context.flow_run.id, cancel), told(session):
                task = config_task(session, account)
                if session.request.mode == "sequential":
                    one_by_one(session, task, account)
                else:
                    drive(session, task, account, mirror.admit)
            plots.begin()
            artifacts.finish()
            limits.close(_SETTLE_HURRIED_S if session.hurried else _LIMITS_LIMIT_S)
            agrees = _settle(session, mirror, account)
        session.note_flow_run(flow_run_id, server, mirrored=agrees)
    finally:
        plots.finish()
        limits.close(0.0)
        mirror.close()
        if relay is not None:
            limit_s = _SETTLE_HURRIED_S if session.hurried else _RELAY_LIMIT_S
            relay.uninstall(limit_s if agrees else 0.0)


def _settle(session: SweepSession, mirror: Mirror, account: Account) -> bool:
    """Hold the server to the account; True where it then agrees."""
    session.rules.close()  # all has ended: time that is over now stops nothing any more
    session.revive_server()
    limit_s = SETTLE_LIMIT_S
    if session.interrupted:
        limit_s = _SETTLE_HURRIED_S if session.hurried else _SETTLE_STOPPED_S
    report = mirror.settle(account.expected, deadline_s=limit_s, progress=session.progress.recorded)
    session.unmirrored = report.unmirrored
    logger = get_run_logger()
    if report.made or report.mended:
        logger.info(
            "Prefect's server lacked %s task runs and had %s wrong; put right from the folders",
            report.made,
            report.mended,
        )
    if not report.reachable:
        make_the_last_calls_short()
    return report.reachable and not report.unmirrored and not report.left_open
