"""One run of the benchmark: one model on one series with one seed. This is the file to copy.

The function takes a context and returns its metrics as a dict. It knows nothing of sweeps, workers
or Prefect, so it can be called by hand as well (see README.md).
"""

from __future__ import annotations

import csv
from pathlib import Path

from argus_tasks import RunContext
from forecasters import Forecaster, fit, mae, mse
from series import SEASON, Array, Part, load, split


def run(ctx: RunContext) -> dict[str, float]:
    """Fit the model that `ctx.config` names and score its one-step forecasts of the test part.

    `ctx` has `config` (a dict), `run_dir` (this run's own folder), `logger`, and
    `log_metric(step, metrics)` for curves.
    """
    config = ctx.config
    values = load(config["dataset"])
    parts = split(values, SEASON[config["dataset"]], config["lags"])

    def report(step: int, train_loss: float, validation_loss: float) -> None:
        ctx.log_metric(step, {"train_loss": train_loss, "val_loss": validation_loss})

    forecaster = fit(config, parts.train, parts.validation, report)

    # Only now, with everything chosen, is the test part looked at, and only once.
    forecast = in_own_unit(forecaster, parts.test, parts.scale)
    save(ctx.run_dir / "artifacts" / "forecast.csv", parts.test, forecast)

    # The leaderboard sorts by the first one. Squared errors of different series cannot be compared,
    # the share of them that a model takes away can.
    metrics = {
        # Against the seasonal-naive forecast: 1 is perfect, 0 no better, below 0 worse.
        "skill": 1 - mse(forecast, parts.test.truth) / mse(parts.test.naive, parts.test.truth),
        "mse": mse(forecast, parts.test.truth),
        "mae": mae(forecast, parts.test.truth),
        # What to compare models by before you publish the test numbers.
        "val_mse": mse(
            in_own_unit(forecaster, parts.validation, parts.scale), parts.validation.truth
        ),
    }
    ctx.logger.info("%s on %s: skill %.3f", config["model"], config["dataset"], metrics["skill"])
    return metrics


def in_own_unit(forecaster: Forecaster, part: Part, scale: float) -> Array:
    """The forecasts of a part, back in the unit of the series."""
    return part.naive + scale * forecaster(part.inputs)


def save(path: Path, part: Part, forecast: Array) -> None:
    """What was forecast and what came, row by row, for a plot or a second look."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "truth", "naive", "forecast"])
        writer.writerows(zip(part.index, part.truth, part.naive, forecast, strict=True))
