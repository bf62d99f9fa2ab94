"""Call the sweep flow with a session whose workers have been started."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr

from argus_tasks.base.clock import utc_now
from argus_tasks.base.folders import file_errors_explained
from argus_tasks.flows.sweep import sweep
from argus_tasks.orchestration.prefect_api.prefect_server import require_server
from argus_tasks.orchestration.tasks.run_session import SessionParameter
from argus_tasks.prefect_compat.client_patience import same_patience_afterwards
from argus_tasks.prefect_compat.client_reach import fresh_log_service, reached_directly
from argus_tasks.prefect_compat.last_log_lines import send_the_last_lines
from argus_tasks.prefect_compat.log_filters import is_transport_error, quiet_about_a_gone_server
from argus_tasks.prefect_compat.settings_override import with_settings
from argus_tasks.session.sweep_session import SweepSession

_LAST_LINES_S = 2.0
_LEAST_S = 0.3


def call_sweep(
    session: SweepSession,
    api_url: str | None = None,
    login: str | None = None,
    *,
    server: str = "",
    revive_server: Callable[[], bool] | None = None,
) -> None:
    """Run a session as a flow run, once its experiment has been loaded.

    Args:
        session: the session.
        api_url: the server's address; None: the one Prefect is set to.
        login: what that server asks for.
        server: how the session names its server; empty: by its address.
        revive_server: starts the embedded server again where it is gone, and says whether it was;
            None: it is not an embedded one.

    The result is in the session, and in the flow run's state on the server. Errors: BadInput, also
    where the server does not answer.
    """
    name = f"{session.request.name}-{utc_now():%Y%m%d-%H%M%S}"
    embedded = revive_server is not None
    given = SessionParameter(session, server or api_url or "", revive_server or (lambda: False))
    changes: dict[str, object] = {}
    if api_url and (embedded or api_url != PREFECT_API_URL.value()):
        # The login of one server is never sent to another.
        changes = {
            "api.url": api_url,
            "ui_url": api_url.removesuffix("/api"),
            "api.auth_string": SecretStr(login) if login else None,
        }
    if embedded:
        changes["api.key"] = None  # the user's, for Prefect's cloud
        # Heartbeats are for automations, which the embedded server has none of; ending their
        # thread takes Prefect a second.
        changes["flows.heartbeat_frequency"] = None
    around = getattr(FlowRunContext.get(), "client", None)
    with (
        with_settings(changes),
        reached_directly(),
        fresh_log_service(),
        same_patience_afterwards(around),
    ):
        require_server()
        with file_errors_explained():
            session.open()  # before the flow: Prefect would log a bad folder's stack
        try:
            with quiet_about_a_gone_server():
                state = _named(name)(given, return_state=True)
            if not session.finished:
                state.result()  # raises what kept the flow from its end
        except Exception as error:
            # Where only its last state could not be set, the session has ended all the same.
            if not (session.finished and is_transport_error(error)):
                raise
        finally:
            if not inside_a_flow():
                send_the_last_lines(max(_LEAST_S, session.stops.deadline.share(_LAST_LINES_S)))


def _named(name: str) -> Flow[..., State[Any]]:
    """A copy of the flow for one call. `with_options` would compute the schema of its parameters
    again, and Prefect's own serialization of them imports a web server."""

    def serialized(parameters: dict[str, Any]) -> dict[str, Any]:
        return {"configs": repr(parameters["configs"])}

    flow = copy(sweep)
    flow.flow_run_name = lambda: name
    flow.serialize_parameters = serialized  # type: ignore[method-assign]
    return flow


def inside_a_flow() -> bool:
    """Whether this is called within a flow run, whose server is then used."""
    return FlowRunContext.get() is not None
