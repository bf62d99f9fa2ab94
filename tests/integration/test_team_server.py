"""One sweep against Prefect on Postgres with Redis, set as docs/team-server.md says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.prefect_api import PrefectApi
from tests.support.servers import Bench
from tests.support.sweeps import Sweep
from tests.support.team_server import TeamServer, missing


@pytest.fixture
def team_server(bench: Bench, tmp_path: Path) -> Iterator[TeamServer]:
    lacks = missing()
    if lacks:
        pytest.skip(f"a team's server needs what is not here: {lacks}")
    server = TeamServer(tmp_path / "team", bench.environment)
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_sweep_on_postgres_and_redis(
    bench: Bench, team_server: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", team_server.login)  # for PrefectApi
    environment = {
        **bench.environment,
        "PREFECT_API_URL": team_server.url,
        "PREFECT_API_AUTH_STRING": team_server.login,
    }
    sweep = Sweep(tmp_path / "team-sweep", environment, n=1000, experiment="noop")
    out = sweep.command("run", str(sweep.folder / "sweep.yaml"))
    assert "1000 of 1000 succeeded" in out
    assert "unknown to Prefect" not in out
    api = PrefectApi(team_server.url)
    flow_run = api.flow_run("team-sweep-")
    assert flow_run["state_type"] == "COMPLETED"
    shown: Counter[tuple[str, str]] = Counter()
    for offset in range(0, 1200, 200):
        body = {
            "flow_runs": {"id": {"any_": [flow_run["id"]]}},
            "sort": "ID_DESC",
            "limit": 200,
            "offset": offset,
        }
        for run in api.post("/task_runs/filter", body):
            shown[run["name"], run["state_name"]] += 1
    assert shown == Counter({(f"x{x}", "Completed"): 1 for x in range(1000)})

    found = json.loads(sweep.command("doctor", "--json"))
    said = [each for each in found if each["what"].startswith("Prefect")]
    assert [each["level"] for each in said] == ["good"], said
