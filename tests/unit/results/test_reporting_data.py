"""What a report is made of: curves, effects of parameters, failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from argus_tasks.results.curves import curves_of, mean_curve
from argus_tasks.results.effects import parameter_effects
from argus_tasks.results.failures import failures
from argus_tasks.results.rows import load_rows
from tests.unit.results.sides import row

MakeRun = Callable[..., Path]


def point(step: object, value: object, split: str = "train") -> str:
    return json.dumps({"step": step, "metrics": {"loss": value}, "split": split, "phase": "fit"})


def test_curves(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run({"a": 1}, {"loss": 0.1})
    lines = [
        point(1, 0.5),
        point(0, 1.0),
        point(0, 2.0, "valid"),
        point(2, None),
        point("x", 1.0),
        "[1]",
        point(1, 0.4),  # a retry tells the step again
        '{"step": 3, "metr',
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    make_run({"a": 2}, {"loss": 0.1})
    one, two = load_rows(tmp_path).rows
    train, valid = curves_of(one)
    assert (train.metric, train.split, train.steps, train.values) == (
        "loss",
        "train",
        (0, 1),
        (1.0, 0.4),
    )
    assert (valid.split, valid.values) == ("valid", (2.0,))
    assert curves_of(one, ["other"]) == []
    assert curves_of(two) == []
    mean = mean_curve([train, valid])
    assert [(step, each.mean, each.n) for step, each in mean] == [(0, 1.5, 2), (1, 0.4, 1)]


def test_effects() -> None:
    rows = [
        row(
            {"lr": lr, "model": model, "dataset": dataset, "seed": seed, "same": 1},
            {"mse": scale * (lr + (0.01 if model == "b" else 0.0) + seed / 1000)},
        )
        for dataset, scale in (("big", 1e6), ("small", 1.0))
        for lr in (0.1, 0.2, 0.4)
        for model in ("a", "b")
        for seed in (0, 1)
    ]
    effects = parameter_effects(rows, "mse", within="dataset")
    assert [effect.key for effect in effects] == ["lr", "model", "seed"]
    lr, model, seed = effects
    assert lr.importance > 0.95
    assert model.importance == pytest.approx(0.0016, rel=0.2)
    assert lr.importance + model.importance + seed.importance == pytest.approx(1.0)
    assert [value for value, _ in lr.values] == [0.1, 0.2, 0.4]
    assert lr.values[0][1].mean < lr.values[2][1].mean
    assert parameter_effects(rows, "mse")[0].key == "dataset"
    drawn = [row({"lr": n / 7}, {"mse": n}) for n in range(9)]
    assert parameter_effects(drawn) == []


def test_failures(make_run: MakeRun, tmp_path: Path) -> None:
    failed = {"status": "failed", "error_type": "ValueError"}
    make_run({"a": 1}, {"mse": 1.0})
    make_run({"a": 2}, None, cause="timeout", **failed)
    for number in (3, 4):
        folder = make_run({"a": number}, None, cause="ValueError", error_message="no\nx", **failed)
        (folder / "error.log").write_text("Traceback\n" * 30 + f"ValueError: no {number}\n")
    (tmp_path / "20260101_000002_00000002" / "run.log").write_text("tick\ntock\n")
    often, once = failures(load_rows(tmp_path).rows)
    assert (often.cause, often.message, len(often.rows)) == ("ValueError", "no", 2)
    assert often.last_lines(2) == ["Traceback", "ValueError: no 4"]
    assert (once.cause, once.message) == ("timeout", "")
    assert once.last_lines() == ["tick", "tock"]
