"""The few questions that the mirror asks Prefect's server, over one client, without patience."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL

from argus_tasks.base.deadline import Deadline
from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.base.redact import without_login
from argus_tasks.orchestration.prefect_api.expected_task_runs import (
    ExpectedRun,
    ServerRun,
    as_state,
)
from argus_tasks.prefect_compat.client_patience import answer_within, connect_once
from argus_tasks.prefect_compat.settings_override import client_settings, with_settings

CALL_LIMIT_S = 15.0
COUNT_LIMIT_S = 3.0
LEAST_S = 0.3
"""Every call gets so long, also when the deadline is over."""
PAGE = 200
_UNAUTHORIZED, _FORBIDDEN, _BUSY = 401, 403, 503


class ServerAway(ArgusTasksError):
    """The server has not answered, or not with what was asked for.

    `busy`: it is there, and has only not answered in time. `refused`: it asks for another login.
    """

    def __init__(self, message: str, *, busy: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.busy = busy
        self.refused = refused

    @classmethod
    def because_of(cls, error: Exception) -> ServerAway:
        """What an error of Prefect's client says."""
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            return cls(
                f"Prefect's server refuses the login, PREFECT_API_AUTH_STRING ({status})",
                refused=True,
            )
        kinds = {kind.__name__ for kind in type(error).__mro__}
        words = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        return cls(
            f"Prefect's server does not answer: {words}",
            busy=status == _BUSY or bool(kinds & {"ReadTimeout", "PoolTimeout"}),
        )


def without_retries() -> AbstractContextManager[Any]:
    """Prefect's client asks once in here: on a server that is gone it would try for minutes."""
    return with_settings({"client.max_retries": 0})


def require_server() -> None:
    """Return if the server of PREFECT_API_URL answers; errors: BadInput, which names it."""
    try:
        with asked_once(PrefectServer()) as server:
            server.require()
    except ServerAway as error:
        raise BadInput(
            f"PREFECT_API_URL is '{without_login(str(PREFECT_API_URL.value()))}', but {error}; "
            + (
                "set it to what that server asks for."
                if error.refused
                else "start that server, or unset the URL to have one started."
            )
        ) from error


class PrefectClient:
    """Prefect's client for the server of PREFECT_API_URL, opened when it is first used."""

    call_limit_s = CALL_LIMIT_S

    def __init__(self) -> None:
        self._opened: SyncPrefectClient | None = None

    def client(self) -> SyncPrefectClient:
        """The client; its calls end after `call_limit_s`. Errors: what Prefect's client raises."""
        if self._opened is None:
            opened = get_client(client_settings(self.call_limit_s), sync_client=True)
            self._opened = opened.__enter__()
        return self._opened

    def close(self) -> None:
        """Let the connections go."""
        client, self._opened = self._opened, None
        if client is not None:
            client.__exit__(None, None, None)


Client = TypeVar("Client", bound=PrefectClient)


@contextmanager
def asked_once(client: Client) -> Iterator[Client]:
    """Within this block, the client asks `without_retries`; it is closed at the end."""
    try:
        with without_retries():
            yield client
    finally:
        client.close()


class PrefectServer(PrefectClient):
    """The server of PREFECT_API_URL. Every method raises ServerAway where it does not answer.

    Attributes:
        deadline: no call waits past it; None: each has its own time.
    """

    deadline: Deadline | None = None

    def require(self) -> None:
        """Return if the server answers, and takes our login where it asks for one."""
        self._ask("GET", "/admin/version")

    def count(self, flow_run_id: UUID, types: tuple[str, ...], name: str | None = None) -> int:
        """How many task runs of the flow run are in a state of these types (and this name)."""
        state: dict[str, Any] = {"type": {"any_": list(types)}}
        if name is not None:
            state["name"] = {"any_": [name]}
        answer = self._ask(
            "POST", "/task_runs/count", json=_of(flow_run_id, state), limit_s=COUNT_LIMIT_S
        )
        return int(answer)

    def running_flow_runs(self, flow_name: str) -> int:
        """How many runs of the flow are running on this server."""
        body = {
            "flows": {"name": {"any_": [flow_name]}},
            "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
        }
        return int(self._ask("POST", "/flow_runs/count", json=body, limit_s=COUNT_LIMIT_S))

    def task_runs(
        self, flow_run_id: UUID, types: tuple[str, ...] | None = None
    ) -> Iterator[ServerRun]:
        """The task runs of a flow run, page by page."""
        state = {"type": {"any_": list(types)}} if types else None
        offset = 0
        while True:
            body = _of(flow_run_id, state) | {"limit": PAGE, "offset": offset, "sort": "ID_DESC"}
            rows = self._ask("POST", "/task_runs/filter", json=body)
            for row in rows:
                yield ServerRun(
                    id=UUID(row["id"]),
                    name=row["name"],
                    task_key=row["task_key"],
                    dynamic_key=row["dynamic_key"],
                    state_type=row.get("state_type") or "PENDING",
                    state_name=row.get("state_name") or "Pending",
                )
            if len(rows) < PAGE:
                return
            offset += PAGE

    def flow_run_state(self, flow_run_id: UUID) -> str | None:
        """The type of the flow run's state; None where the server does not know the flow run."""
        body = {"flow_runs": {"id": {"any_": [str(flow_run_id)]}}}
        rows = self._ask("POST", "/flow_runs/filter", json=body)
        return str(rows[0].get("state_type") or "PENDING") if rows else None

    def set_flow_run_state(self, flow_run_id: UUID, state: State[Any]) -> None:
        """Whatever it is in now."""
        self._call(lambda client: client.set_flow_run_state(flow_run_id, state, force=True))

    def set_task_run_state(self, task_run_id: UUID, state: State[Any]) -> None:
        """Whatever it is in now."""
        self._call(lambda client: client.set_task_run_state(task_run_id, state, force=True))

    def make_task_run(self, flow_run_id: UUID, run: ExpectedRun, note: str) -> None:
        """A task run that the server lacks. Its times are now."""
        state = as_state(run, note)
        body: dict[str, Any] = {
            "name": run.name,
            "flow_run_id": str(flow_run_id),
            "task_key": run.task_key,
            "dynamic_key": run.dynamic_key or run.name,
            "state": {"type": run.state_type, "name": run.state_name, "message": state.message},
        }
        if run.task_run_id is not None:
            body["id"] = str(run.task_run_id)
        self._ask("POST", "/task_runs/", json=body)

    def settings(self) -> Mapping[str, Any]:
        """How the server is set."""
        return cast("Mapping[str, Any]", self._ask("GET", "/admin/settings"))

    def _ask(self, method: Any, path: Any, limit_s: float = CALL_LIMIT_S, **words: Any) -> Any:
        return self._call(lambda client: client.request(method, path, **words).json(), limit_s)

    def _call(self, ask: Any, limit_s: float = CALL_LIMIT_S) -> Any:
        if self.deadline is not None:
            limit_s = max(LEAST_S, self.deadline.share(limit_s))
        try:
            client = self.client()
            connect_once(client)
            answer_within(client, limit_s)
            return ask(client)
        except Exception as error:
            raise ServerAway.because_of(error) from error


def _of(flow_run_id: UUID, state: dict[str, Any] | None) -> dict[str, Any]:
    wanted: dict[str, Any] = {"flow_run_id": {"any_": [str(flow_run_id)]}}
    if state is not None:
        wanted["state"] = state
    return {"task_runs": wanted}
