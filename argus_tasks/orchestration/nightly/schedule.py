"""The nightly benchmark's schedule on Prefect's server: on, off, and kept over restarts.

Deploying anew sets a schedule as the deployment's definition has it. So whoever deploys asks here
first how things stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from argus_tasks.base.errors import BadInput

NIGHTLY = "benchmark/nightly"


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """How the nightly benchmark stands.

    Attributes:
        schedules: each as text: `0 2 * * * UTC`.
        active: any of them is on.
        missed: how many runs are overdue, with nobody there to start them.
        next_at: when the next one is due; None where none is.
    """

    schedules: tuple[str, ...]
    active: bool
    missed: int
    next_at: datetime | None


def schedule_state() -> ScheduleState | None:
    """How it stands; None where it is not deployed on the server that Prefect is set to."""
    with get_client(sync_client=True) as client:
        deployment = _deployment(client)
        if deployment is None:
            return None
        due = _scheduled(client, deployment)
        now = datetime.now(UTC)
        later = [moment for moment in due if moment > now]
        return ScheduleState(
            tuple(_text(schedule.schedule) for schedule in deployment.schedules),
            any(schedule.active for schedule in deployment.schedules),
            len(due) - len(later),
            min(later, default=None),
        )


def switch(*, on: bool) -> ScheduleState:
    """Set all its schedules on or off. Errors: BadInput where it is not deployed."""
    with get_client(sync_client=True) as client:
        deployment = _deployment(client)
        if deployment is None:
            raise BadInput(
                f"{NIGHTLY} is not deployed on {client.api_url}; first: make serve, or prefect"
                " deploy --all --prefect-file deployments/prefect.yaml."
            )
        for schedule in deployment.schedules:
            answer = client.request(
                "PATCH",
                "/deployments/{id}/schedules/{schedule_id}",
                path_params={"id": deployment.id, "schedule_id": schedule.id},
                json={"active": on},
            )
            answer.raise_for_status()
    found = schedule_state()
    assert found is not None
    return found


def _deployment(client: SyncPrefectClient) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(NIGHTLY)
    except ObjectNotFound:
        return None


def _scheduled(client: SyncPrefectClient, deployment: DeploymentResponse) -> list[datetime]:
    """When the runs are due that the schedule has made and that have not started."""
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(
                after_=datetime(2000, 1, 1, tzinfo=UTC)
            ),
        ),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        limit=200,
    )
    return [
        run.expected_start_time for run in found if run.auto_scheduled and run.expected_start_time
    ]


def _text(schedule: object) -> str:
    parts = [getattr(schedule, name, None) for name in ("cron", "interval", "rrule", "timezone")]
    return " ".join(str(part) for part in parts if part)
