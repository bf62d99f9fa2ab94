"""Groups over seeds, their means and spreads, and their order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.base.errors import BadInput
from argus_tasks.results.read.direction import guess_direction
from argus_tasks.results.read.rows import load_rows
from argus_tasks.results.tables.leaderboard import Leaderboard, Spread, leaderboard, spread


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("valLoss", "min"),
        ("test/MSE", "min"),
        ("mae", "min"),
        ("RMSE", "min"),
        ("error_rate", "min"),
        ("duration_sec", "min"),
        ("acc", "max"),
        ("top1-acc", "max"),
        ("test.accuracy", "max"),
        ("F1", "max"),
        ("roc_auc", "max"),
        ("r2", "max"),
        ("skill", "max"),
        ("skill_score", "max"),
        ("error_score", "max"),
        ("neg_mean_squared_error", "max"),
        ("negative_r2", "min"),
        ("epochs", None),
        ("parse", None),
        ("subaccount", None),
        ("heatmap", None),
        ("", None),
    ],
)
def test_directions(metric: str, direction: str | None) -> None:
    assert guess_direction(metric) == direction


def board_of(tmp_path: Path, *args: Any, **more: Any) -> Leaderboard:
    return leaderboard(load_rows(tmp_path).rows, *args, **more)


def test_groups_over_seeds(make_run: Callable[..., Path], tmp_path: Path) -> None:
    for model, values in {"worse": [0.3, 0.5, 0.7], "better": [0.2, 0.1], "one": [0.4]}.items():
        for seed, value in enumerate(values):
            config = {"model": model, "optim": {"lr": 0.1}, "seed": seed, "epochs": 3}
            make_run(config, {"mse": value, "skill": 1 - value})
    board = board_of(tmp_path)
    assert (board.metric, board.direction, board.direction_is) == ("mse", "min", "by its name")
    assert board.keys == ("model",)
    assert board.constants == {"optim.lr": 0.1, "epochs": 3}
    assert board.metrics == ("mse", "skill")
    assert [group.config for group in board.groups] == [
        {"model": "better"},
        {"model": "one"},
        {"model": "worse"},
    ]
    better, one, worse = (group.metrics["mse"] for group in board.groups)
    assert (better.n, worse.n) == (2, 3)
    assert one == Spread(0.4, None, 1)
    assert worse.mean == statistics.fmean([0.3, 0.5, 0.7])
    assert worse.std is not None
    assert math.isclose(worse.std, statistics.stdev([0.3, 0.5, 0.7]))
    turned = board_of(tmp_path, "skill")
    assert turned.direction == "max"
    assert [group.config["model"] for group in turned.groups] == ["better", "one", "worse"]
    given_ = board_of(tmp_path, "skill", "min")
    assert given_.direction_is == "given"
    assert [group.config["model"] for group in given_.groups] == ["worse", "one", "better"]


def test_keys_that_not_all_configs_have_are_columns(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"model": "a", "same": [1, {"x": 1}]}, {"loss": 1})
    make_run({"model": "a", "same": [1.0, {"x": 1}], "patch": 16}, {"loss": 2})
    board = board_of(tmp_path)
    assert board.keys == ("patch",)
    assert [group.config for group in board.groups] == [{}, {"patch": 16}]
    assert set(board.constants) == {"model", "same"}


def test_equal_numbers_are_one_group_and_true_is_another(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    for value in (1, 1.0, True, "1"):
        make_run({"x": value, "k": 0}, {"loss": 1})
    assert sorted(len(group.rows) for group in board_of(tmp_path).groups) == [1, 1, 2]


def test_a_constant_is_the_same_everywhere_and_true_is_not_one(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"x": [1], "y": 1, "z": 1, "seed": 3}, {"loss": 1})
    make_run({"x": [True], "y": True, "z": 1.0, "seed": 3}, {"loss": 1})
    board = board_of(tmp_path)
    assert board.keys == ("x", "y")
    assert board.constants == {"z": 1, "seed": 3}


def test_group_by(make_run: Callable[..., Path], tmp_path: Path) -> None:
    for model in ("a", "b"):
        for lr in (0.1, 0.2):
            make_run(
                {"model": model, "optim": {"lr": lr}, "seed": 0}, {"loss": lr + (model == "b")}
            )
    board = board_of(tmp_path, group_by=["model"])
    assert [(g.config["model"], g.metrics["loss"].n) for g in board.groups] == [("a", 2), ("b", 2)]
    assert board.keys == ("model",)
    board = board_of(tmp_path, group_by=["optim.lr", "seed"])
    assert [group.config for group in board.groups] == [
        {"optim.lr": 0.1, "seed": 0},
        {"optim.lr": 0.2, "seed": 0},
    ]
    assert board.constants == {}
    with pytest.raises(BadInput, match=r"no run has a config key 'modle' .* Did you mean 'model'"):
        board_of(tmp_path, group_by=["modle"])


def test_what_has_no_number_is_last_and_counted(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"m": 1}, None, status="failed")
    make_run({"m": 2, "seed": 0}, {"loss": None, "other": 3})
    make_run({"m": 2, "seed": 1}, {"loss": 0.5, "text": "x", "flag": True, "deep": {"a": 1}})
    make_run({"m": 3}, {"loss": float("nan"), "big": 10**400})
    board = board_of(tmp_path)
    assert board.metric == "other"  # the first that a run has
    board = board_of(tmp_path, "loss")
    assert board.metrics == ("other", "loss", "deep.a")
    assert [group.config["m"] for group in board.groups] == [2, 1, 3]
    assert [board.rank(index) for index in range(3)] == [1, None, None]
    best = board.groups[0]
    assert (best.metrics["loss"].n, len(best.rows)) == (1, 2)
    assert board.groups[1].count("failed") == 1
    with pytest.raises(
        BadInput, match=r"no run has a metric 'text'; there are other, loss, deep\.a"
    ):
        board_of(tmp_path, "text")
    with pytest.raises(BadInput, match="Did you mean 'loss'"):
        board_of(tmp_path, "los")


def test_no_metrics_at_all(make_run: Callable[..., Path], tmp_path: Path) -> None:
    make_run({"m": 1}, None)
    board = board_of(tmp_path)
    assert board.metric is None
    assert board.rank(0) is None
    with pytest.raises(BadInput, match="no run has a metric 'mse'; there are none"):
        board_of(tmp_path, "mse")


def test_a_direction_that_cannot_be_guessed_is_said(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"m": 1}, {"kpi": 1})
    assert (board_of(tmp_path).direction, board_of(tmp_path).direction_is) == ("min", "assumed")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_spread_agrees_with_the_standard_library(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert found.n == len(values)
    assert math.isclose(found.mean, statistics.fmean(values), rel_tol=1e-12, abs_tol=1e-9)
    if len(values) == 1:
        assert found.std is None
    else:
        assert found.std is not None
        assert math.isclose(found.std, statistics.stdev(values), rel_tol=1e-9, abs_tol=1e-9)


def test_spread_of_nothing() -> None:
    assert spread([]) is None


def test_what_a_failed_run_took_is_no_duration_to_compare(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    """It has broken off early: else who fails most is the quickest."""
    make_run({"model": "whole", "seed": 0}, {"loss": 1.0}, duration_sec=60.0)
    make_run({"model": "broken", "seed": 0}, None, status="failed", duration_sec=1.0)
    make_run({"model": "broken", "seed": 1}, {"loss": 1.0}, duration_sec=90.0)
    board = board_of(tmp_path, "duration_sec")
    means = {g.config["model"]: g.metrics["duration_sec"].mean for g in board.groups}
    assert means == {"whole": 60.0, "broken": 90.0}
    assert [group.config["model"] for group in board.groups] == ["whole", "broken"]
