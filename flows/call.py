"""Calling the sweep flow with a session that is already prepared."""

from __future__ import annotations

from contextlib import nullcontext

from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from argus_tasks.base.clock import utc_now
from argus_tasks.flows.sweep import sweep
from argus_tasks.orchestration.conduct import Prepared, in_flow_run
from argus_tasks.sweep.session import SweepSession


def call_sweep(session: SweepSession, api_url: str | None) -> None:
    """Run the session as a flow run, on the server at `api_url` where one is given.

    How it went is in the session; the flow run's state says the same on the server.
    """
    name = f"{session.request.name}-{utc_now():%Y%m%d-%H%M%S}"
    # Heartbeats are for automations, which the embedded server has none of; ending their thread
    # takes Prefect a second.
    embedded = {PREFECT_API_URL: api_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(embedded) if api_url else nullcontext():
        sweep.with_options(flow_run_name=lambda: name)(Prepared(session), return_state=True)


def inside_a_flow() -> bool:
    """True inside somebody's flow run: its server is ours, too."""
    return in_flow_run()
