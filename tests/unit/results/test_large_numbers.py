"""Metrics near the largest and the smallest float: all that reads them works, without a warning."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from argus_tasks.cli.main import main
from argus_tasks.results.compare.batch_history import change_points
from argus_tasks.results.compare.contests import Noise, contests
from argus_tasks.results.compare.history_text import sparkline
from argus_tasks.results.compare.verdict import Verdict, compare
from argus_tasks.results.read.rows import load_rows
from argus_tasks.results.tables.axes import axes_of
from argus_tasks.results.tables.curves import learning_curves
from argus_tasks.results.tables.effects import effects
from argus_tasks.results.tables.leaderboard import Spread, leaderboard, spread
from tests.unit.results.sides import cells

LARGEST = sys.float_info.max
SIZES = [1e-300, 1e-170, 1e-87, 1.0, 1e38, 1e160, 1e240, LARGEST]
NOISE = [0.91, 1.0, 0.95, 0.97]


def exact(values: list[float]) -> tuple[Fraction, Fraction]:
    """The mean and the variance, in fractions."""
    numbers = list(map(Fraction, values))
    mean = sum(numbers) / len(numbers)
    return mean, sum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1)


_numbers = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


@given(st.lists(_numbers, min_size=2, max_size=5))
@example([0.0, 2.928216854046416e-161])
def test_mean_and_deviation_of_any_numbers(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    mean, variance = exact(values)
    size = Fraction(max(map(abs, values)))
    assert abs(Fraction(found.mean) - mean) <= size * Fraction(1, 10**12)
    if found.std is None:
        assert variance > Fraction(LARGEST) ** 2 * Fraction(999, 1000)
    else:
        assert abs(Fraction(found.std) ** 2 - variance) <= size**2 * Fraction(1, 10**6)
    assert found.low is None or math.isfinite(found.low) or found.std


def test_a_deviation_beyond_all_floats_is_none() -> None:
    found = spread([LARGEST, -LARGEST])
    assert found == Spread(0.0, None, 2)
    near = spread([LARGEST, LARGEST / 2])
    assert near is not None
    assert near.std is not None
    assert (near.half_width, near.low) == (None, None), "12.7 times the deviation is no float"


@pytest.mark.parametrize("size", SIZES)
def test_a_spread_is_as_large_as_its_numbers(size: float) -> None:
    found = spread([size * each for each in NOISE])
    assert found is not None
    assert found.std is not None
    assert found.std / size == pytest.approx(0.0377492, rel=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_verdict_is_the_same_at_every_size(size: float, sign: int) -> None:
    side = [sign * size * each / 2 for each in NOISE]
    for factor, verdict in (
        (1.0, Verdict.NO_EVIDENCE),
        (2.0, Verdict.WORSE),
        (0.5, Verdict.BETTER),
    ):
        after = [factor * each for each in side]
        if sign < 0:
            verdict = {Verdict.WORSE: Verdict.BETTER, Verdict.BETTER: Verdict.WORSE}.get(
                verdict, verdict
            )
        found = compare(cells({"a": side}), cells({"a": after}), "mse")
        assert found.verdict is verdict


def test_small_cells_beside_a_large_one_are_no_evidence() -> None:
    before = {"large": [-1e240 * each for each in NOISE], "small": [-each for each in NOISE]}
    after = {model: values[::-1] for model, values in before.items()}
    found = compare(cells(before), cells(after), "mse")
    assert {cell.verdict for cell in found.cells} == {Verdict.NO_EVIDENCE}


def test_a_change_beyond_all_floats_is_infinite() -> None:
    small, large = ([size * each for each in NOISE] for size in (1e-300, 1e300))
    (cell,) = compare(cells({"a": small}), cells({"a": large}), "mse").cells
    assert (cell.verdict, cell.change) == (Verdict.WORSE, math.inf)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("relative", [True, False])
def test_a_new_level_is_found_at_every_size(size: float, relative: bool) -> None:
    points = [
        Spread(size / 3 * each, size / 1e4, 4) for each in (1, 1.01, 1, 1.01, 2, 2.01, 2, 2.01)
    ]
    (change,) = change_points(points, relative=relative)
    assert change.at == 4
    assert change.change == pytest.approx(0.995 if relative else size / 3, rel=0.01)
    assert sparkline(points) == "▁▁▁▁████"
    assert sparkline([Spread(size, None, 1), None, Spread(-size, None, 1)]) == "█ ▁"


@pytest.mark.parametrize("size", SIZES)
def test_winners_and_effects_are_the_same_at_every_size(
    make_run: Callable[..., Path], tmp_path: Path, size: float
) -> None:
    for model, level in (("a", 0.2), ("b", 0.4), ("c", 0.9)):
        for lr in (1, 2):
            for seed, noise in enumerate(NOISE):
                make_run({"model": model, "lr": lr, "seed": seed}, {"loss": size * level * noise})
    board = leaderboard(load_rows(tmp_path).rows)
    axes = axes_of(board)
    (contest,) = contests(board, axes)
    assert (contest.winner, contest.second, contest.noise) == ("a", "b", Noise.BEYOND)
    found = effects(board, axes)
    assert [(each.key, round(each.importance or 0, 6)) for each in found.effects] == [
        ("model", 1),
        ("lr", 0),
    ]
    assert [level.mean / size for level in found.effects[0].levels] == pytest.approx(
        [level * 0.9575 for level in (0.2, 0.4, 0.9)]
    )


def test_the_mean_of_curves_is_no_infinity(make_run: Callable[..., Path], tmp_path: Path) -> None:
    for seed, noise in enumerate(NOISE):
        folder = make_run({"seed": seed}, {"loss": 1.0})
        line = {"step": 0, "metrics": {"loss": 1e308 * noise * 0.99}}
        (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    board = leaderboard(load_rows(tmp_path).rows)
    curves = learning_curves(board, axes_of(board))
    assert curves is not None
    assert curves.panels[0].curves[0].values == pytest.approx([0.9575 * 0.99e308])


@pytest.mark.parametrize("size", [1e-300, 1e240, LARGEST])
def test_every_reading_command_works(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], size: float
) -> None:
    for dataset, scale in (("x", 1.0), ("y", size)):
        for model, level in (("a", 0.2), ("b", 1.0)):
            for seed, noise in enumerate(NOISE):
                values = {"dataset": dataset, "model": model, "seed": seed}
                folder = make_run(values, {"loss": scale * level * noise, "gain": -scale * noise})
                lines = [{"step": step, "metrics": {"loss": scale * noise}} for step in (0, 1)]
                (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    root = str(tmp_path)
    for words in (
        [],
        ["--csv", "-"],
        ["--json", "-"],
        ["--pivot", "model,dataset"],
        ["--latex", "-"],
    ):
        for metric in ("loss", "gain"):
            assert main(["results", root, *words, "--metric", metric]) == 0
    for metric in ("loss", "gain"):
        assert main(["report", root, "--metric", metric]) == 0
    out = capsys.readouterr().out
    assert "a wins on every dataset, 2 of 2, by loss" in out
