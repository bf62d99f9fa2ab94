"""The forecast example: honest splits, no leakage, and numbers that mean what the README says."""

from __future__ import annotations

import csv
import importlib
import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ztxexp import ExpRunner

from argus_tasks.spec.expansion import expand
from argus_tasks.spec.sweep_spec import load_sweep_file

FOLDER = Path(__file__).parents[3] / "examples" / "forecast"
MODULES = ("series", "forecasters", "experiment")


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    """The example's modules, imported as a sweep does: from their own folder."""
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update({name: module for name, module in before.items() if module})


@dataclass
class Context:
    config: dict[str, Any]
    run_dir: Path
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("forecast"))
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def log_metric(self, step: int, metrics: dict[str, float]) -> None:
        self.curve.append((step, metrics))


def configs() -> list[dict[str, Any]]:
    return list(expand(load_sweep_file(FOLDER / "sweep.yaml")).configs)


def config_of(model: str, dataset: str, seed: int = 0) -> dict[str, Any]:
    (one,) = [
        config
        for config in configs()
        if (config["model"], config["dataset"], config["seed"]) == (model, dataset, seed)
    ]
    return one


def run_once(example: SimpleNamespace, config: dict[str, Any], folder: Path) -> tuple[Any, Context]:
    ctx = Context(config, folder)
    (folder / "artifacts").mkdir(parents=True)
    return example.experiment.run(ctx), ctx


SERIES = ("sunspots", "co2", "elnino", "nile")


@pytest.mark.parametrize("name", SERIES)
def test_the_parts_are_disjoint_and_in_time_order(example: SimpleNamespace, name: str) -> None:
    values = example.series.load(name)
    season = example.series.SEASON[name]
    assert np.isfinite(values).all()
    parts = example.series.split(values, season, 24)
    indexes = np.concatenate([parts.train.index, parts.validation.index, parts.test.index])
    assert indexes.tolist() == list(range(24, len(values)))
    assert min(len(parts.validation.index), len(parts.test.index)) >= len(values) // 5
    for part in (parts.train, parts.validation, parts.test):
        for row, t in enumerate(part.index):
            window = part.inputs[row] * parts.scale + part.naive[row]
            np.testing.assert_allclose(window, values[t - 24 : t], rtol=1e-9, atol=1e-9)
            assert part.naive[row] == values[t - season]
            assert part.truth[row] == values[t]
        np.testing.assert_allclose(part.target * parts.scale + part.naive, part.truth)


@pytest.mark.parametrize("model", ["ridge", "gbm", "mlp"])
def test_the_future_reaches_no_forecast(example: SimpleNamespace, model: str) -> None:
    """With every value from the middle of the test part on changed, all before it stays equal."""
    values = example.series.load("sunspots")
    first_test = int(0.8 * len(values))
    cut = (first_test + len(values)) // 2
    changed = values.copy()
    changed[cut:] = changed[cut:] * -7 + 1000

    def forecasts(series: Any) -> tuple[Any, Any]:
        parts = example.series.split(series, 11, 24)
        forecaster = example.forecasters.fit(
            config_of(model, "sunspots"), parts.train, parts.validation, lambda *told: None
        )
        return parts, example.experiment.in_own_unit(forecaster, parts.test, parts.scale)

    parts, forecast = forecasts(values)
    other_parts, other = forecasts(changed)
    assert parts.scale == other_parts.scale
    for name in ("inputs", "target"):
        for part in ("train", "validation"):
            np.testing.assert_array_equal(
                getattr(getattr(parts, part), name), getattr(getattr(other_parts, part), name)
            )
    known = cut - first_test + 1  # the forecast for `cut` itself is made before its value is known
    np.testing.assert_array_equal(forecast[:known], other[:known])
    assert not np.allclose(forecast[known:], other[known:])


def test_validation_values_reach_neither_fit_nor_scale(example: SimpleNamespace) -> None:
    values = example.series.load("elnino")
    changed = values.copy()
    changed[int(0.6 * len(values)) :] += 100
    parts = example.series.split(values, 12, 24)
    other = example.series.split(changed, 12, 24)
    assert parts.scale == other.scale
    np.testing.assert_array_equal(parts.train.inputs, other.train.inputs)
    np.testing.assert_array_equal(parts.train.target, other.train.target)


def test_the_candidate_with_the_least_validation_loss_is_kept(example: SimpleNamespace) -> None:
    parts = example.series.split(example.series.load("nile"), 1, 24)
    told: list[tuple[int, float, float]] = []
    forecaster = example.forecasters.fit(
        config_of("mlp", "nile"), parts.train, parts.validation, lambda *loss: told.append(loss)
    )
    kept = example.forecasters.mse(forecaster(parts.validation.inputs), parts.validation.target)
    assert kept == min(loss for _, _, loss in told)
    assert kept < told[-1][2], "the last epoch was the best one: early stopping is not shown"


def test_the_gradients_are_the_slopes_of_the_loss(example: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    inputs, target = rng.normal(size=(9, 4)), rng.normal(size=9)
    weights = [rng.normal(size=shape) for shape in ((4, 3), (3,), (3,), (1,))]
    gradients = example.forecasters._gradients(weights, inputs, target)

    def loss_at() -> float:
        return float(
            example.forecasters.mse(example.forecasters._network(weights, inputs)[1], target)
        )

    for weight, gradient in zip(weights, gradients, strict=True):
        assert weight.shape == gradient.shape
        for place in np.ndindex(weight.shape):
            was = weight[place]
            weight[place] = was + 1e-6
            up = loss_at()
            weight[place] = was - 1e-6
            down = loss_at()
            weight[place] = was
            assert gradient[place] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-7)


def test_the_network_learns_epoch_by_epoch(example: SimpleNamespace, tmp_path: Path) -> None:
    config = config_of("mlp", "elnino")
    metrics, ctx = run_once(example, config, tmp_path / "run")
    assert [step for step, _ in ctx.curve] == list(range(1, config["epochs"] + 1))
    train = [logged["train_loss"] for _, logged in ctx.curve]
    assert train[-1] < train[9] < train[0]
    assert train[-1] < train[0] / 3
    assert metrics["skill"] > 0.5


@pytest.mark.parametrize(("model", "random"), [("naive", 0), ("ridge", 0), ("gbm", 1), ("mlp", 1)])
def test_a_seed_is_repeatable_and_matters_where_there_is_chance(
    example: SimpleNamespace, tmp_path: Path, model: str, random: int
) -> None:
    first, _ = run_once(example, config_of(model, "nile", 0), tmp_path / "a")
    again, _ = run_once(example, config_of(model, "nile", 0), tmp_path / "b")
    other, _ = run_once(example, config_of(model, "nile", 1), tmp_path / "c")
    assert first == again
    assert (tmp_path / "a/artifacts/forecast.csv").read_bytes() == (
        tmp_path / "b/artifacts/forecast.csv"
    ).read_bytes()
    assert (first != other) == bool(random)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dataset", "nil", r"unknown dataset 'nil'; there are sunspots, co2, elnino, nile"),
        ("model", "arima", r"unknown model 'arima'; there are naive, ridge, gbm, mlp"),
        ("lags", 3, r"lags=3: expected 12 \(one season\) to 365"),
    ],
)
def test_a_wrong_config_is_told_in_a_sentence(
    example: SimpleNamespace, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        run_once(example, {**config_of("ridge", "elnino"), key: value}, tmp_path / "run")


def test_the_whole_benchmark(
    example: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All configs of sweep.yaml, on two processes: what the README says of the numbers holds."""
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    asked = configs()
    assert len(asked) >= 24
    assert len({config["dataset"] for config in asked}) >= 3
    assert len({config["model"] for config in asked}) >= 4
    assert {config["seed"] for config in asked} == {0, 1, 2}
    summary = ExpRunner(asked, tmp_path, example.experiment.run).run(mode="process_pool", workers=2)
    assert (summary.total, summary.succeeded) == (len(asked), len(asked))
    assert summary.duration_sec < 60

    best: dict[str, float] = {}
    for folder in (path for path in tmp_path.iterdir() if (path / "metrics.json").exists()):
        config = json.loads((folder / "config.json").read_text())
        metrics = json.loads((folder / "metrics.json").read_text())
        with (folder / "artifacts" / "forecast.csv").open() as file:
            rows = [{key: float(text) for key, text in row.items()} for row in csv.DictReader(file)]
        errors = [row["forecast"] - row["truth"] for row in rows]
        naive = [row["naive"] - row["truth"] for row in rows]
        squared = sum(error**2 for error in errors) / len(rows)
        assert metrics["mse"] == pytest.approx(squared)
        assert metrics["mae"] == pytest.approx(sum(abs(error) for error in errors) / len(rows))
        assert metrics["skill"] == pytest.approx(
            1 - squared / (sum(error**2 for error in naive) / len(rows)), abs=1e-9
        )
        if config["model"] == "naive":
            assert metrics["skill"] == 0
        best[config["dataset"]] = max(best.get(config["dataset"], -1), metrics["skill"])
    assert all(skill > 0 for skill in best.values()), best
    assert best["co2"] > 0.9
    assert best["elnino"] > 0.8


def test_a_worker_pays_for_numpy_only() -> None:
    """Importing the experiment loads neither pandas nor scikit-learn."""
    code = (
        "import sys, experiment, series; series.load('co2');"
        "print(sorted({'pandas', 'sklearn', 'scipy', 'statsmodels.datasets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    for name in ("README.md", *(f"{module}.py" for module in MODULES)):
        shutil.copy(FOLDER / name, tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "'skill': 0." in done.stdout.splitlines()[-1]
