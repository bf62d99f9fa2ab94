"""A metric over many nights: the level it has, and the night it changed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.cli.main import main
from argus_tasks.results.compare.batch_history import change_points, history
from argus_tasks.results.compare.history_text import sparkline
from argus_tasks.results.tables.leaderboard import Spread, spread
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity

NOISE = 0.03


def night(rng: random.Random, level: float) -> Spread:
    found = spread([level * (1 + rng.gauss(0, NOISE)) for _ in range(5)])
    assert found is not None
    return found


def places(levels: Sequence[float], seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    found = change_points([night(rng, level) for level in levels], relative=True)
    return [change.at for change in found]


def test_a_level_that_stays_is_not_marked() -> None:
    marked = sum(bool(places([2.0] * 20, seed)) for seed in range(400))
    assert marked <= 12


def test_what_repeats_do_not_tell_apart_is_no_level() -> None:
    calm = [Spread(mean, 0.03, 5) for mean in (1.0, 1.0, 1.002, 1.002)]
    assert change_points(calm, relative=True) == []
    told = [Spread(mean, 0.0003, 5) for mean in (1.0, 1.0, 1.002, 1.002)]
    assert [change.at for change in change_points(told, relative=True)] == [2]


def test_nights_may_differ_by_more_than_their_repeats() -> None:
    rng = random.Random(5)
    marked = 0
    for _ in range(400):
        nights = [Spread(1 + rng.gauss(0, 0.05), 0.001, 5) for _ in range(12)]
        marked += bool(change_points(nights, relative=True))
    assert marked <= 8


def test_new_levels_are_found_where_they_begin() -> None:
    assert places([1.0] * 8 + [1.1] * 6) == [8]
    assert places([1.0] * 6 + [1.2] * 6 + [0.9] * 6) == [6, 12]
    found = [places([1.0] * 8 + [1.1] * 6, seed) for seed in range(100)]
    assert sum(any(at in (7, 8, 9) for at in each) for each in found) >= 95


def test_one_bad_night_is_no_level() -> None:
    assert places([1.0] * 8 + [1.3]) == []


def test_without_noise_every_change_is_one() -> None:
    def points(values: Sequence[float | None]) -> list[Spread | None]:
        return [None if value is None else Spread(value, 0.0, 5) for value in values]

    def found(values: Sequence[float | None]) -> list[tuple[int, float]]:
        told = change_points(points(values), relative=True)
        return [(change.at, pytest.approx(change.change)) for change in told]

    assert found([1.0, 1.0, 1.0, 1.0]) == []
    assert found([1.0, 1.0, None, 1.5, 1.5]) == [(3, 0.5)]
    assert found([1.0, 1.0 + 1e-12, 1.0, 1.0]) == []
    assert found([1.0]) == []
    zero = change_points(points([0.0, 0.0, -0.5, -0.5]), relative=False)
    assert [(change.at, change.change) for change in zero] == [(2, -0.5)]


def test_sparkline() -> None:
    rising = [Spread(float(value), None, 1) for value in range(8)]
    assert sparkline(rising) == "▁▂▃▄▅▆▇█"
    assert sparkline([*rising[:1], None, *rising[-1:]]) == "▁ █"
    assert sparkline([Spread(1.0, None, 1)] * 3) == "▁▁▁"


def test_over_the_batches_of_a_sweep(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def batch(number: int, name: str = "nightly", factor: float = 1.0) -> None:
        batch_id = f"{name}-{number}"
        folder = SweepFolder(tmp_path, batch_id)
        folder.take()
        folder.open_session(SweepIdentity("p", name, "m:f"), git_sha=None, created_by="me")
        folder.write_plan([])
        folder.close()
        for model in ("ridge", "mlp"):
            for seed in range(3):
                value = (1 + seed / 100) * (factor if model == "mlp" else 1.0)
                config: dict[str, Any] = {"model": model, "seed": seed}
                make_run(config, {"mse": value}, batch_id=batch_id, digest=f"{model}{seed}")

    for number in range(6):
        batch(number, factor=1.2 if number >= 3 else 1.0)
    batch(9, name="nightly-confirmation")
    words = ["history", "mse", "--results-root", str(tmp_path)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mse of nightly, 6 batches, lower is better"
    assert lines[4].split() == ["ridge", "1.010", "1.010", "▁▁▁▁▁▁"]
    assert lines[5].split() == ["mlp", "1.010", "1.212", "▁▁▁███", "at", "4:", "+20.0%"]
    [marked] = [line for line in lines if "mlp +20.0%" in line]
    assert "nightly-3" in marked
    assert main([*words, "--last", "3"]) == 0
    assert "3 batches" in capsys.readouterr().out
    assert len(history(tmp_path, "mse", "nightly").batches) == 6
    assert main([*words, "--html", str(tmp_path / "history.html")]) == 0
    page = (tmp_path / "history.html").read_text("utf-8")
    assert page.count("<svg") == 2
    assert "mlp: +20.0% from batch 4 on" in page
    assert "new levels from batch: 4" in page
    assert "default-src 'none'" in page
    capsys.readouterr()

    batch(0, name="other")
    for words_, error in (
        ([*words, "--name", "other", "--html", "no/folder/x"], "cannot be written"),
        (words, "there are several sweeps under"),
        ([*words, "--name", "nigtly"], "Did you mean 'nightly'?"),
        ([*words, "--name", "other", "--last", "0"], "--last is 0"),
        (["history", "mze", *words[2:], "--name", "other"], "no run has a metric 'mze'"),
        (["history", "mse", "--results-root", str(tmp_path / "x")], "there are no batches"),
    ):
        assert main(words_) == 2
        assert error in capsys.readouterr().err
