"""Metrics that are nan or an infinity: they are seen, rank nowhere, and are never averaged away."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argus_tasks import results
from argus_tasks.cli.main import main
from argus_tasks.orchestration.prefect_artifacts.leaderboard_artifact import RunningLeaderboard
from argus_tasks.results.compare.baselines import read_baseline, set_baseline
from argus_tasks.results.compare.batch_history import history
from argus_tasks.results.compare.comparison_text import json_value
from argus_tasks.results.compare.history_text import history_lines
from argus_tasks.results.compare.sides import batch_side
from argus_tasks.results.compare.verdict import Verdict, compare
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support.sessions import records, request_for, run_session
from tests.unit.results.sides import cells

NAN, INF = math.nan, math.inf
LOSSES = {"fine": [0.3, 0.5], "half": [0.1, NAN], "lost": [NAN, NAN], "fled": [0.2, -INF]}
CONFIGS = [{"m": m, "seed": seed} for m in LOSSES for seed in (0, 1)]


@dataclass
class Scores:
    loss: float


def loss(ctx: Any) -> dict[str, Any]:
    return {"loss": LOSSES[ctx.config["m"]][ctx.config["seed"]], "deep": {"a": 1.0}}


def given(ctx: Any) -> Any:
    return ctx.config["result"][0]


def session(
    root: Path, experiment: Any = loss, configs: Any = CONFIGS, **more: Any
) -> SweepSession:
    return new_session(request_for(configs, experiment, root, name="s", mode="thread", **more))


@pytest.fixture
def swept(results_root: Path) -> Path:
    run_session(session(results_root))
    return results_root


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_the_end_of_a_sweep_counts_them_also_when_it_is_reused(results_root: Path) -> None:
    first = run_session(session(results_root))
    assert first.sentence() == "8 of 8 succeeded, 4 not finite"
    again = run_session(session(results_root))
    assert again.sentence() == "8 of 8 succeeded (8 reused), 4 not finite"
    assert verify(results_root).findings == []
    kept = [record["nonfinite"] for record in records(results_root) if "nonfinite" in record]
    assert kept == [{"/loss": "-inf"}, {"/loss": "nan"}, {"/loss": "nan"}, {"/loss": "nan"}]


def test_the_table_shows_them_last(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "results", str(swept)).splitlines()
    assert lines[0].endswith("8 runs: 8 succeeded, 4 not finite")
    table = [line.split() for line in lines[5:9]]
    assert table[0][:2] == ["1", "fine"]
    rest = {words[1]: " ".join(words) for words in table[1:]}
    assert rest["half"].startswith("- half nan 1 of 2 not finite")
    assert rest["lost"].startswith("- lost nan 2 not finite")
    assert rest["fled"].startswith("- fled -inf 1 of 2 not finite")
    assert "not finite, so not ranked: loss in 4 runs" in lines
    assert "nan" not in said(capsys, "results", str(swept), "--top", "1")


def test_exports_have_them(swept: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = {
        row["m"]: row
        for row in csv.DictReader(said(capsys, "results", str(swept), "--csv", "-").splitlines())
    }
    assert [rows["fine"][key] for key in ("rank", "loss", "loss_n", "loss_not_finite")] == [
        "1",
        "0.4",
        "2",
        "0",
    ]
    assert [rows["half"][key] for key in ("rank", "loss", "loss_n", "loss_not_finite")] == [
        "",
        "nan",
        "1",
        "1",
    ]
    assert [rows["lost"][key] for key in ("rank", "loss", "loss_n", "loss_not_finite")] == [
        "",
        "nan",
        "0",
        "2",
    ]
    assert "deep.a_not_finite" not in rows["fine"]
    value = json.loads(said(capsys, "results", str(swept), "--json", "-"))
    groups = {group["config"]["m"]: group for group in value["groups"]}
    assert groups["half"]["metrics"]["loss"] == {"mean": None, "n": 1, "not_finite": 1}
    assert (groups["half"]["rank"], groups["fine"]["metrics"]["loss"]["n"]) == (None, 2)
    runs = [path for path in value["nonfinite"] if path.startswith("runs.")]
    assert len(runs) == 4
    frame = results(swept)
    assert sorted(map(repr, frame["loss"])) == sorted(
        repr(each) for m in LOSSES.values() for each in m
    )
    assert main(["results", str(swept), "--parquet", str(tmp_path / "runs.parquet")]) == 0
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "runs.parquet")
    assert sorted(map(repr, table["loss"].to_pylist())) == sorted(map(repr, frame["loss"]))


def test_a_matrix_marks_none_of_them(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "results", str(swept), "--pivot", "m,seed", "--metric", "loss")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["half"] == ["0.1000", "*", "nan"]
    assert rows["fled"] == ["0.2000", "-inf"]


def test_the_report_says_them(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "report", str(swept))
    assert "8 of 8 runs succeeded, 4 not finite." in out
    assert "fine has 0.4 by loss" in out
    page = (swept / "report.html").read_text()
    assert "1 of 2 not finite" in page
    assert "8 of 8 runs succeeded, 4 not finite." in page


def test_where_nothing_is_finite_nothing_wins(
    results_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_session(session(results_root, configs=[{"m": "lost", "seed": seed} for seed in (0, 1)]))
    text = said(capsys, "results", str(results_root), "--metric", "loss")
    assert "2 not finite" in text
    assert main(["report", str(results_root), "--metric", "loss"]) == 0
    assert "No config has a finite loss." in capsys.readouterr().out


def test_the_running_leaderboard_has_no_place_for_them(results_root: Path) -> None:
    now = session(results_root)
    run_session(now)
    board = RunningLeaderboard(now)
    board.look()
    assert [(row["#"], row["loss (mean)"], row["n"]) for row in board.rows(9)] == [(1, 0.4, 2)]
    again = RunningLeaderboard(session(results_root))  # all are reused
    again.look()
    assert [row["n"] for row in again.rows(9)] == [2]


def test_a_comparison_does_not_drop_them() -> None:
    before = cells({"a": [1.0, 1.1, 0.9, 1.0], "b": [1.0, 1.1, 0.9, 1.0]})
    after = cells({"a": [1.0, 1.1, 0.9, NAN], "b": [2.0, 2.1, 1.9, 2.0]})
    found = compare(before, after, "mse")
    by_model = {cell.config["model"]: cell for cell in found.cells}
    assert by_model["a"].verdict is Verdict.NOT_COMPARABLE
    assert by_model["a"].reason == "mse is not finite in 1 of 4 runs of the second"
    assert by_model["b"].verdict is Verdict.WORSE


def test_a_baseline_keeps_them(swept: Path) -> None:
    before = batch_side(swept, batches(swept)[0].batch_id)
    set_baseline(swept, "main", before)
    kept = read_baseline(swept, "main").side
    assert repr([row.metrics for row in kept.rows]) == repr([row.metrics for row in before.rows])
    value = json_value(compare(kept, before, "loss"))
    reasons = {cell["config"]["m"]: cell["reason"] for cell in value["cells"]}
    assert reasons["half"] == "loss is not finite in 1 of 2 runs of the first"


def test_a_history_has_a_gap_for_them(swept: Path) -> None:
    found = history(swept, "loss")
    assert [each.config["m"] for each in found.series] == ["fine"]
    assert history_lines(found)[-1] == "4 not finite: a cell has no mean in their batch"


@pytest.mark.parametrize(
    ("result", "metrics"),
    [
        (0.5, {"objective": 0.5}),
        (3, {"objective": 3}),
        (np.float32(0.5), {"objective": 0.5}),
        (np.array(2), {"objective": 2}),
        (NAN, {"objective": None}),
        (Scores(0.5), {"loss": 0.5}),
    ],
)
def test_a_number_is_the_objective(results_root: Path, result: Any, metrics: Any) -> None:
    assert run_session(session(results_root, given, [{"result": [result]}])).succeeded == 1
    (record,) = records(results_root)
    assert json.loads((record["dir"] / "metrics.json").read_text()) == metrics


@pytest.mark.parametrize("result", [True, "0.5", [0.5], {0.5}, np.arange(2)])
def test_what_is_neither_is_refused(results_root: Path, result: Any) -> None:
    run_session(session(results_root, given, [{"result": [result]}]))
    (record,) = records(results_root)
    assert (record["status"], record["error_type"]) == ("failed", "TypeError")
    assert "expected a dict of metrics, a number or None" in record["error_message"]


def test_metrics_that_are_no_numbers_are_said_once(results_root: Path) -> None:
    result = {
        "loss": 1.0,
        "name": "x",
        "deep": {"curve": [1, 2]},
        "on": True,
        "none": None,
        "o": Path("p"),
    }
    run_session(session(results_root, given, [{"result": [result]}, {"result": [{"loss": NAN}]}]))
    logs = sorted(path.read_text() for path in results_root.glob("*/run.log"))
    told = [line for log in logs for line in log.splitlines() if "no numbers" in line]
    assert len(told) == 1
    assert told[0].endswith(
        "no numbers, so nothing ranks them: name (str), deep.curve (list), o (PosixPath)"
    )
