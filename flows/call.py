"""Calling the sweep flow with a session that is already prepared."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect.context import SettingsContext
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from argus_tasks.base.clock import utc_now
from argus_tasks.flows.sweep import sweep
from argus_tasks.orchestration.conduct import Prepared, in_flow_run
from argus_tasks.orchestration.prefect_server import is_transport_error, require_server
from argus_tasks.orchestration.quiet import quiet_about_a_gone_server
from argus_tasks.sweep.session import SweepSession


def call_sweep(session: SweepSession, api_url: str | None, *, embedded: bool) -> None:
    """Run the session as a flow run, on the server at `api_url` where one is given.

    How it went is in the session; the flow run's state says the same on the server. Errors:
    BadInput; ArgusTasksError where the server does not answer.
    """
    name = f"{session.request.name}-{utc_now():%Y%m%d-%H%M%S}"
    updates: dict[Any, Any] = {}
    if api_url:
        updates = {PREFECT_API_URL: api_url}
    if embedded:
        # Heartbeats are for automations, which the embedded server has none of; ending their
        # thread takes Prefect a second.
        updates[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
    with temporary_settings(updates) if updates else _same_settings():
        require_server()
        session.make_root()  # before the flow: Prefect would log a bad folder's stack
        try:
            flow = sweep.with_options(flow_run_name=lambda: name)
            with quiet_about_a_gone_server():
                state = flow(Prepared(session), return_state=True)
            if not session.conducted:
                state.result()  # raises what kept the flow from its end
        except Exception as error:
            # Where only its last state could not be set, the session has ended all the same.
            if not (session.conducted and is_transport_error(error)):
                raise


def _same_settings() -> AbstractContextManager[object]:
    """A context of our own with the settings of the user's flow: made anew, they would be read
    from the environment again."""
    context = SettingsContext.get()
    if context is None:
        return nullcontext()
    return SettingsContext(profile=context.profile, settings=context.settings)


def inside_a_flow() -> bool:
    """True inside somebody's flow run: its server is ours, too."""
    return in_flow_run()
