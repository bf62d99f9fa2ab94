"""Scheduled times that were missed: ten nights of downtime are one run, not ten.

What comes back late finds a queue of runs for times that have passed. The first of them to start
does the work for all; the others see that, and end at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterStartTime,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext

SKIPPED_STATE = "Skipped"
_AT_WORK = (StateType.RUNNING, StateType.COMPLETED, StateType.FAILED)


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run of a deployment, as far as its schedule goes.

    Attributes:
        id: the flow run's id.
        due: when it was to start.
        started: when it did; None before that.
        scheduled: by the deployment's schedule, not by a person.
        works: it does the deployment's work, or has done it.
    """

    id: str
    due: datetime
    started: datetime | None
    scheduled: bool
    works: bool


def made_up_for(own: Run, others: Iterable[Run]) -> Run | None:
    """The run that has done what this one was scheduled for: it started first, after this one was
    due. None where there is none, or where a person asked for this one."""
    if not own.scheduled or own.started is None:
        return None
    for other in others:
        if not other.works or other.started is None or other.id == own.id:
            continue
        if own.due <= other.started and (other.started, other.id) < (own.started, own.id):
            return other
    return None


def why_skip() -> str:
    """Why the flow run that this is called in has nothing to do; empty where it has."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return ""
    with get_client(sync_client=True) as client:
        own = _run_of(client.read_flow_run(context.flow_run.id))
        other = made_up_for(own, _started_since(client, context.flow_run.deployment_id, own.due))
    if other is None:
        return ""
    return f"due {_minute(own.due)}; the run of {_minute(other.started)} has made up for it"


def _started_since(client: SyncPrefectClient, deployment_id: UUID, since: datetime) -> list[Run]:
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime(after_=since)),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        limit=200,
    )
    return [_run_of(run) for run in found]


def _run_of(run: FlowRun) -> Run:
    due: Any = run.expected_start_time
    return Run(
        str(run.id),
        due,
        run.start_time,
        bool(run.auto_scheduled),
        run.state_type in _AT_WORK and run.state_name != SKIPPED_STATE,
    )


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "?"
