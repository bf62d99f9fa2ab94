"""What a Prefect server holds, read over HTTP as any client would."""

from __future__ import annotations

import os
import time
from typing import Any

import httpx


def login() -> tuple[str, str]:
    """That of the server in this test session's environment; others do not look at it."""
    name, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return name, password


class PrefectApi:
    def __init__(self, url: str) -> None:
        self._url = url

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(self._url + path, json=body, timeout=20, auth=login())
        answer.raise_for_status()
        return answer.json()

    def flow_run(self, name_like: str) -> dict[str, Any]:
        """The newest flow run with this in its name."""
        runs = self.post(
            "/flow_runs/filter",
            {"flow_runs": {"name": {"like_": name_like}}, "sort": "START_TIME_DESC"},
        )
        assert runs, f"no flow run like {name_like}"
        found: dict[str, Any] = runs[0]
        return found

    def task_runs(
        self, flow_run_id: str, *, settled: int, seconds: float = 60
    ) -> list[dict[str, Any]]:
        """The flow run's task runs, once so many of them are in a final state."""
        body = {"flow_runs": {"id": {"any_": [flow_run_id]}}, "limit": 200}
        deadline = time.monotonic() + seconds
        while True:
            found: list[dict[str, Any]] = self.post("/task_runs/filter", body)
            final = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
            if sum(run["state_type"] in final for run in found) >= settled:
                return sorted(found, key=lambda run: str(run["name"]))
            assert time.monotonic() < deadline, [(r["name"], r["state_name"]) for r in found]
            time.sleep(0.1)
