"""What the report shows, as data: contests, matrix, effects, curves, failures, timeline."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.results.compare.contests import Contest, Noise, contests
from argus_tasks.results.read.failures import failures
from argus_tasks.results.read.rows import Row
from argus_tasks.results.read.timeline import CUT_OFF, timeline
from argus_tasks.results.report.headline import won_sentences
from argus_tasks.results.tables.axes import Axes, axes_of
from argus_tasks.results.tables.curves import learning_curves
from argus_tasks.results.tables.effects import Effects, effects
from argus_tasks.results.tables.leaderboard import leaderboard
from argus_tasks.results.tables.pivot import pivot_of_best
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from tests.unit.results.sides import row

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def runs(values: dict[tuple[str, str], list[float]], metric: str = "acc") -> list[Row]:
    """Rows of (model, dataset), a seed a value."""
    return [
        row(
            {"model": model, "dataset": dataset, "seed": seed},
            {metric: value},
            run_id=f"{index:03d}-{seed}",
        )
        for index, ((model, dataset), found) in enumerate(values.items())
        for seed, value in enumerate(found)
    ]


def judged(rows: list[Row], metric: str | None = None) -> tuple[Contest, ...]:
    board = leaderboard(rows, metric)
    return contests(board, axes_of(board))


def test_axes_are_found_by_usual_names_and_may_be_given() -> None:
    board = leaderboard(
        [
            row({"algo": a, "env": e, "lr": lr}, {"acc": 1.0})
            for a in "ab"
            for e in "xy"
            for lr in (1, 2)
        ]
    )
    assert axes_of(board) == Axes("algo", "env")
    assert axes_of(board, model="lr") == Axes("lr", "env")
    with pytest.raises(BadInput, match="'env2', which does not vary"):
        axes_of(board, dataset="env2")


def test_a_lead_is_held_against_the_spread_over_seeds() -> None:
    first, second, third = judged(
        runs(
            {
                ("a", "clear"): [0.90, 0.91, 0.92],
                ("b", "clear"): [0.50, 0.51, 0.52],
                ("a", "noisy"): [0.50, 0.70, 0.90],
                ("b", "noisy"): [0.49, 0.69, 0.88],
                ("a", "exact"): [0.50, 0.50, 0.50],
                ("b", "exact"): [0.60, 0.60, 0.60],
            }
        )
    )
    assert (first.dataset, first.winner, first.second) == ("clear", "a", "b")
    assert first.noise is Noise.BEYOND
    assert first.lead == pytest.approx(0.4)
    assert first.low is not None
    assert first.high is not None
    assert 0 < first.low < 0.4 < first.high
    assert (second.winner, second.noise) == ("a", Noise.WITHIN)
    assert second.low is not None
    assert second.low < 0
    assert (third.winner, third.noise, third.low) == ("b", Noise.NONE, None)


def test_one_seed_tells_nothing_and_equal_means_are_a_tie() -> None:
    lone, tie, alone = judged(
        runs(
            {
                ("a", "x"): [0.9],
                ("b", "x"): [0.1],
                ("a", "y"): [0.5, 0.5],
                ("b", "y"): [0.5, 0.5],
                ("a", "z"): [0.5, 0.5],
            }
        )
    )
    assert (lone.winner, lone.noise) == ("a", Noise.UNKNOWN)
    assert tie.noise is Noise.TIE
    assert (alone.second, alone.noise) == (None, Noise.ALONE)


def test_a_models_best_config_stands_for_it_and_less_may_be_better() -> None:
    rows = [
        row({"model": model, "lr": lr, "seed": seed}, {"loss": loss + seed / 1000}, run_id=model)
        for model, lr, loss in (("a", 1, 0.3), ("a", 2, 0.2), ("b", 1, 0.5), ("b", 2, 0.4))
        for seed in range(3)
    ]
    (contest,) = judged(rows)
    assert (contest.winner, contest.group.config["lr"]) == ("a", 2)
    assert (contest.second, contest.lead) == ("b", pytest.approx(0.2))


def test_seeds_alone_rarely_make_a_winner() -> None:
    rng = np.random.default_rng(20261123)
    wrong = 0
    for _ in range(150):
        found = judged(
            runs(
                {
                    (model, f"d{place}"): list(0.5 + 0.02 * (1 + place) * rng.standard_normal(3))
                    for model in "abc"
                    for place in range(4)
                }
            )
        )
        wrong += any(contest.noise is Noise.BEYOND for contest in found)
    assert wrong <= 12  # 5 % of 150 are 7.5


def test_errors_of_different_size_learn_from_each_other_in_shares() -> None:
    rng = np.random.default_rng(1)
    values = {
        (model, f"d{place}"): [
            float(10.0**place * better * (1 + 0.01 * rng.standard_normal())) for _ in range(2)
        ]
        for place in range(4)
        for model, better in (("a", 1.0), ("b", 1.08))
    }
    assert [c.noise for c in judged(runs(values, "mse"))] == [Noise.BEYOND] * 4


def test_the_answer_in_words() -> None:
    rows = runs(
        {
            (model, data): [top + seed / 1000 for seed in range(3)]
            for model, top in (("a", 0.9), ("b", 0.5))
            for data in ("x", "y")
        }
    )
    board = leaderboard(rows)
    axes = axes_of(board)
    assert won_sentences(board, axes, contests(board, axes)) == [
        "a wins on every dataset, 2 of 2, by acc (higher is better).",
        "The winner's lead is more than seed noise on 2 of 2.",
    ]


def test_the_matrix_marks_the_best_and_the_worst_of_each_dataset() -> None:
    board = leaderboard(
        runs({("a", "x"): [1.0], ("b", "x"): [2.0], ("a", "y"): [4.0], ("c", "y"): [3.0]}, "loss")
    )
    found = pivot_of_best(board, axes_of(board))
    assert found is not None
    assert found.row_values == ("a", "b", "c")
    assert found.column_values == ("x", "y")
    assert [found.best(0), found.best(1)] == [{0}, {2}]
    assert [found.worst(0), found.worst(1)] == [{1}, {0}]
    assert found.cells[1][1] is None


def found_effects(rows: list[Row]) -> Effects:
    board = leaderboard(rows)
    return effects(board, axes_of(board))


def test_what_matters_comes_first_and_chance_is_called_chance() -> None:
    rng = np.random.default_rng(3)
    rows = [
        row(
            {"size": size, "flavour": flavour, "draw": float(rng.random())},
            {"acc": size + 0.1 * float(rng.standard_normal())},
        )
        for size in (1, 2, 3)
        for flavour in ("sweet", "sour")
        for _ in range(6)
    ]
    size, *others = found_effects(rows).effects
    assert size.key == "size"
    assert size.importance is not None
    assert size.importance > 0.75
    assert not size.is_chance
    assert [level.label for level in size.levels] == ["1", "2", "3"]
    assert {effect.key for effect in others} == {"flavour", "draw"}
    assert all(effect.is_chance for effect in others)
    draw = next(effect for effect in others if effect.key == "draw")
    assert len(draw.levels) == 4
    assert [len(level.values) for level in draw.levels] == [9, 9, 9, 9]


def test_effects_are_taken_within_each_dataset() -> None:
    rows = [
        row({"dataset": data, "model": model, "lr": lr}, {"loss": scale * value + lr * scale / 100})
        for data, scale in (("small", 1.0), ("large", 1000.0))
        for model, value in (("a", 1.0), ("b", 2.0))
        for lr in (1, 2, 3)
    ]
    found = found_effects(rows)
    assert found.within == "dataset"
    model = found.effects[0]
    assert model.key == "model"
    assert model.importance is not None
    assert model.importance > 0.99
    a, b = model.levels
    assert a.mean == pytest.approx(-b.mean)


def test_too_few_configs_have_no_importance() -> None:
    (effect,) = found_effects([row({"lr": lr}, {"loss": lr}) for lr in (1.0, 2.0)]).effects
    assert (effect.importance, effect.is_chance) == (None, True)


def test_curves_are_means_over_seeds_of_what_is_held_out(tmp_path: Path) -> None:
    rows = []
    for seed in range(2):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        lines: list[Any] = [
            {
                "step": step,
                "metrics": {"train_loss": 9.0, "val_loss": step + seed},
                "split": "train",
            }
            for step in range(400)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text + '{"step": 400, "metrics"')  # torn by a kill
        rows.append(row({"model": "a", "seed": seed}, {"acc": 1.0}, path=folder))
    board = leaderboard(rows)
    found = learning_curves(board, axes_of(board))
    assert found is not None
    assert found.metrics == ("train_loss", "val_loss")
    (panel,) = found.panels
    (curve,) = panel.curves
    assert panel.metric == "val_loss"
    assert (curve.steps[0], curve.values[0]) == (0.0, 0.5)
    assert (curve.steps[-1], curve.values[-1]) == (399.0, 399.5)
    assert len(curve.steps) == 150


def test_without_curves_there_are_none(tmp_path: Path) -> None:
    board = leaderboard([row({"model": "a"}, {"acc": 1.0}, path=tmp_path)])
    assert learning_curves(board, axes_of(board)) is None


def test_failures_by_cause_with_their_last_lines(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "error.log").write_text("".join(f"line {n}\n" for n in range(5000)))
    rows = [
        row({}, None, run_id="1", cause="ValueError", error_message="bad", path=tmp_path / "one"),
        row({}, None, run_id="2", cause="ValueError", error_message="bad", path=tmp_path / "gone"),
        row({}, None, run_id="3", cause="out of memory", path=tmp_path / "gone"),
        row({}, {"acc": 1.0}, run_id="4"),
    ]
    first, second = failures(rows)
    assert (first.cause, len(first.rows), first.messages) == ("ValueError", 2, (("bad", 2),))
    assert (first.shown.run_id, first.log) == ("1", "error.log")
    assert first.last_lines == tuple(f"line {n}" for n in range(4988, 5000))
    assert (second.cause, second.last_lines) == ("out of memory", ())


def at(second: float) -> str:
    return datetime.fromtimestamp(1767225600 + second, tz=UTC).isoformat()


@pytest.mark.parametrize("told", [False, True], ids=["nobody wrote its end", "the next one did"])
def test_the_timeline_is_told_by_the_ledger_and_pauses_are_cut_out(
    tmp_path: Path, told: bool
) -> None:
    folder = SweepFolder(tmp_path, "batch-1")
    folder.path.mkdir(parents=True)
    events = [
        (0, "s1", "one", 1, "started", "running"),
        (1, "s1", "two", 1, "started", "running"),
        (10, "s1", "one", 1, "ended", "failed"),
        (10, "s1", "one", 2, "started", "running"),
        (12, "s1", "one", 2, "ended", "succeeded"),  # and then the machine went down, with two
        *[(4999, "s2", "two", 1, "ended", "failed")] * told,
        (5000, "s2", "two", 2, "started", "running"),
        (5020, "s2", "two", 2, "ended", "succeeded"),
    ]
    lines = [
        dict(
            zip(
                ("at", "session", "run_id", "attempt", "event", "status"),
                (at(event[0]), *event[1:]),
                strict=True,
            )
        )
        | (
            {"cause": "parent lost"}
            if event[4:] == ("ended", "failed") and event[2] == "two"
            else {}
        )
        for event in events
    ]
    (folder.path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    usage = [{"at": at(s), "cpu_percent": s, "memory_percent": 50.0} for s in (2, 300, 5010)]
    (folder.path / "usage.jsonl").write_text("".join(json.dumps(line) + "\n" for line in usage))
    rows = [
        row({}, {"acc": 1.0}, run_id="one", batch_id="batch-1"),
        row({}, {"acc": 1.0}, run_id="two", batch_id="batch-1"),
    ]
    found = timeline(tmp_path, rows, NOW)
    assert found is not None
    assert [(bar.lane, bar.begin_s, bar.end_s, bar.status) for bar in found.bars] == [
        (0, 0, 10, "failed"),
        (1, 1, 12, CUT_OFF),
        (0, 10, 12, "succeeded"),
        (0, 12, 32, "succeeded"),
    ]
    assert (found.lanes, found.length_s, found.breaks) == (2, 32, (12,))
    assert [(usage.at_s, usage.cpu_percent) for usage in found.usage] == [(2, 2.0), (22, 5010.0)]


def test_without_a_ledger_the_folders_tell(tmp_path: Path) -> None:
    rows = [
        row({}, {"a": 1.0}, started_at=at(0), finished_at=at(4)),
        row({}, {"a": 1.0}, started_at=at(1), finished_at=None, duration_sec=2.0),
        row({}, None, status="running", started_at=at(3)),
        row({}, None),
    ]
    found = timeline(tmp_path, rows, datetime.fromtimestamp(1767225606, tz=UTC))
    assert found is not None
    assert [(bar.lane, bar.end_s, bar.status) for bar in found.bars] == [
        (0, 4, "succeeded"),
        (1, 3, "succeeded"),
        (1, 6, "running"),
    ]
    assert timeline(tmp_path, rows[3:], NOW) is None


def test_a_small_effect_beside_a_large_one_is_seen() -> None:
    rng = np.random.default_rng(5)
    rows = [
        row(
            {"model": model, "lr": lr, "batch": batch},
            {"acc": value + 0.2 * lr + 0.01 * float(rng.standard_normal())},
        )
        for model, value in (("a", 0.0), ("b", 5.0), ("c", 10.0))
        for lr in (1, 2, 3)
        for batch in (16, 32)
    ]
    found = {effect.key: effect for effect in found_effects(rows).effects}
    assert not found["lr"].is_chance
    assert found["lr"].importance is not None
    assert 0 < found["lr"].importance < 0.05
    assert found["batch"].is_chance


def test_keys_that_vary_only_together_are_not_told_apart() -> None:
    rows = [
        row({"width": width, "depth": str(width), "n": n}, {"acc": width + n / 10})
        for width in (1, 2, 3)
        for n in (1, 2, 3)
    ]
    found = {effect.key: effect for effect in found_effects(rows).effects}
    assert found["width"].importance is None
    assert found["depth"].importance is None
    assert found["n"].importance is not None
