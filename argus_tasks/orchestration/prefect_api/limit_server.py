"""What is asked of Prefect's server about global concurrency limits: one call each, no patience."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from argus_tasks.orchestration.prefect_api.prefect_server import PrefectClient, ServerAway

LEASE_S = 60.0
"""The shortest that the server grants: what a killed sweep held is free again after it."""
_GONE, _MISSING, _CONFLICT, _LOCKED, _TOO_MANY = 410, 404, 409, 423, 422


@dataclass(frozen=True, slots=True)
class ServerLimit:
    """A global concurrency limit as the server has it.

    Attributes:
        limit: its value.
        active: False where a person has disabled it.
        taken: slots that somebody holds.
    """

    limit: int
    active: bool
    taken: int


class LimitServer(PrefectClient):
    """The server of PREFECT_API_URL. Every method raises ServerAway where it does not answer."""

    call_limit_s = 3.0

    def read(self, name: str) -> ServerLimit | None:
        """The limit; None where there is none of that name."""
        status, row = self._ask("GET", f"/v2/concurrency_limits/{name}", accept=(_MISSING,))
        if status == _MISSING:
            return None
        return ServerLimit(int(row["limit"]), bool(row["active"]), int(row["active_slots"]))

    def make(self, name: str, limit: int) -> None:
        """Make the limit; one that somebody has just made is left as it is."""
        self._ask(
            "POST",
            "/v2/concurrency_limits/",
            {"name": name, "limit": limit, "active": True},
            accept=(_CONFLICT,),
        )

    def change(self, name: str, **fields: Any) -> bool:
        """Set `limit`, `active` or `active_slots`; False where there is no such limit."""
        status, _ = self._ask("PATCH", f"/v2/concurrency_limits/{name}", fields, accept=(_MISSING,))
        return status != _MISSING

    def take(self, name: str) -> str | None:
        """One slot: the id of its lease; None where none is free."""
        body = {"slots": 1, "names": [name], "mode": "concurrency", "lease_duration": LEASE_S}
        status, answer = self._ask(
            "POST",
            "/v2/concurrency_limits/increment-with-lease",
            body,
            accept=(_LOCKED, _TOO_MANY, _CONFLICT, _MISSING),
        )
        if status != 200 or not answer["limits"]:
            return None
        return str(answer["lease_id"])

    def give_back(self, lease: str) -> bool:
        """The slot of a lease; False where the server cannot now (the limit is 0)."""
        status, _ = self._ask(
            "POST",
            "/v2/concurrency_limits/decrement-with-lease",
            {"lease_id": lease},
            accept=(_CONFLICT,),
        )
        return status != _CONFLICT

    def renew(self, lease: str) -> bool:
        """Keep a slot for another LEASE_S; False where the lease is lost."""
        status, _ = self._ask(
            "POST",
            f"/v2/concurrency_limits/leases/{lease}/renew",
            {"lease_duration": LEASE_S},
            accept=(_GONE,),
        )
        return status != _GONE

    def variable(self, name: str) -> Any:
        """The value of a variable; None where there is none."""
        status, row = self._ask("GET", f"/variables/name/{variable_name(name)}", accept=(_MISSING,))
        return None if status == _MISSING else row["value"]

    def set_variable(self, name: str, value: Any) -> None:
        """Set a variable, or make it."""
        path = f"/variables/name/{variable_name(name)}"
        if self._ask("PATCH", path, {"value": value}, accept=(_MISSING,))[0] == _MISSING:
            body = {"name": variable_name(name), "value": value}
            self._ask("POST", "/variables/", body, accept=(_CONFLICT,))

    def _ask(
        self, method: Any, path: Any, body: Any = None, accept: Collection[int] = ()
    ) -> tuple[int, Any]:
        try:
            answer = self.client().request(method, path, **({"json": body} if body else {}))
            return 200, answer.json() if answer.content else None
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if status in accept:
                return status, None
            raise ServerAway.because_of(error) from error


def variable_name(limit: str) -> str:
    """The variable that goes with a limit: its name, as far as a variable may be called so."""
    return re.sub(r"[^a-z0-9_-]", "-", limit.lower())
