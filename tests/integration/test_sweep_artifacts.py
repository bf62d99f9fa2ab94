"""What Prefect's UI shows of a sweep: progress and leaderboard while it runs, its outcome after."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from argus_tasks import sweep_flow
from argus_tasks.orchestration.prefect_artifacts import sweep_artifacts as artifacts
from argus_tasks.orchestration.prefect_artifacts.sweep_artifacts import (
    SweepArtifacts,
    markdown_table,
    show_verdict,
)
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.session.progress import ProgressSnapshot
from argus_tasks.session.stop_state import StopState
from tests.support import experiments
from tests.support.prefect_api import PrefectApi


def shown(api: PrefectApi, name: str) -> dict[str, dict[str, Any]]:
    """The artifacts of the newest flow run, by key; each is there once."""
    body = {"flow_runs": {"id": {"any_": [api.flow_run(f"{name}-")["id"]]}}}
    found: list[dict[str, Any]] = api.post("/artifacts/filter", body)
    assert len({artifact["key"] for artifact in found}) == len(found)
    return {artifact["key"]: artifact for artifact in found}


def test_a_sweep_shows_how_it_gets_on_and_what_leads(
    served: str, results_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "FIRST_S", 0.05)
    monkeypatch.setattr(artifacts, "EVERY_S", 0.05)
    monkeypatch.setattr(artifacts, "_PATIENCE", 1)
    api = PrefectApi(served)
    configs = [{"x": x, "seconds": 0.4, "marks": str(tmp_path), "tag": "a|b <i>"} for x in range(8)]
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            found = api.post("/artifacts/filter", {})
            seen.extend(each["data"] for each in found if each["key"] == "watched-progress")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        sweep_flow(configs, experiments.slow, name="Watched!", results_root=results_root, workers=2)
    finally:
        over.set()
        watcher.join()
    assert seen == sorted(seen)
    assert any(0 < value < 100 for value in seen)
    found = shown(api, "Watched!")
    assert set(found) == {"watched-progress", "watched-leaderboard", "watched-outcome"}
    assert found["watched-progress"]["data"] == 100
    rows = json.loads(found["watched-leaderboard"]["data"])
    assert [(row["#"], row["x (mean)"], row["n"]) for row in rows] == [
        (rank, float(rank - 1), 1) for rank in range(1, 9)
    ]
    text = found["watched-outcome"]["data"]
    assert "8 of 8 succeeded" in text
    assert f"{results_root}/report.html" in text


def test_a_short_sweep_shows_its_outcome_alone(served: str, results_root: Path) -> None:
    for seed_run in range(2):  # the second reuses all: the table is the folders'
        summary = sweep_flow(
            [{"x": x, "seed": seed} for x in (3, 4) for seed in (0, 1)],
            experiments.score,
            name="short",
            results_root=results_root,
        )
        assert summary.reused == (4 if seed_run else 0)
        found = shown(PrefectApi(served), "short")
        assert set(found) == {"short-outcome"}
        assert "| 1 | 4 | 8.0 | 2 |" in found["short-outcome"]["data"]


def fake_session() -> Any:
    snapshot = ProgressSnapshot(2, 1, 0, 0, 1, 0, 1.0, None, (), None, "")
    return SimpleNamespace(
        request=SimpleNamespace(name="n", results_root=Path("r"), search=None),
        plan=SimpleNamespace(runs=(), to_do=(), batch_id="b"),
        progress=SimpleNamespace(snapshot=lambda: snapshot),
        stopping=False,
        stops=StopState(2.0),
        summary=lambda: RunSummary(2, 1, 1, 0, 1.0),
    )


@pytest.mark.parametrize(
    "answers", [pytest.param(True, marks=pytest.mark.slow), False], ids=["silent", "gone"]
)
def test_a_server_that_does_not_answer_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr(artifacts, "FIRST_S", 0.01)
    monkeypatch.setattr(artifacts, "EVERY_S", 0.01)
    monkeypatch.setattr(artifacts._FlowRunArtifacts, "call_limit_s", 6.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers:
            silent.listen(50)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            began = time.monotonic()
            with SweepArtifacts(fake_session(), "00000000-0000-0000-0000-000000000000") as shower:
                time.sleep(0.1)
                shower.finish()
            assert time.monotonic() - began < 5
            shower._thread.join(60)
            assert not shower._thread.is_alive()


def test_what_users_wrote_is_no_markdown() -> None:
    assert markdown_table([{"a|b": "<b>\n*x*"}]) == [
        "| a\\|b |",
        "|---|",
        "| \\<b\\> \\*x\\* |",
    ]


def test_a_verdict_is_shown_in_the_flow_run_that_gives_it(served: str) -> None:
    @flow(name="judge", flow_run_name="judging-{number}")
    def judge(number: int) -> None:
        show_verdict("Nightly", "worse: mse", ["before: <a>", "after: b"], "- Report: `r`")

    show_verdict("Nightly", "outside of any flow run", [], "")
    with temporary_settings({PREFECT_API_URL: served}):
        judge(1)
    found = shown(PrefectApi(served), "judging")
    assert found["nightly-verdict"]["data"].splitlines() == [
        "# worse: mse",
        "",
        "    before: <a>",
        "    after: b",
        "",
        "- Report: `r`",
    ]
