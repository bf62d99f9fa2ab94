"""The data: four real series from statsmodels, cut in time order, nothing seen before its time.

Every forecast is one step ahead: at time t a model sees the true values up to t - 1 and is asked
for the value at t. Then the true value is revealed, and t moves on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# How many steps one season has. The Nile's yearly flow has none: its seasonal-naive forecast is
# simply the value before.
SEASON = {"sunspots": 11, "co2": 12, "elnino": 12, "nile": 1}


def load(name: str) -> Array:
    """A series by name, oldest value first, without gaps."""
    if name == "sunspots":  # sunspots a year, 1700 to 2008
        return np.array([float(row["SUNACTIVITY"]) for row in _rows(name)])
    if name == "nile":  # flow of the Nile a year in 10^8 m3, 1871 to 1970
        return np.array([float(row["volume"]) for row in _rows(name)])
    if name == "elnino":  # sea surface temperature a month in degrees C, 1950 to 2010
        return np.array([float(row[month]) for row in _rows(name) for month in list(row)[1:]])
    if name == "co2":  # CO2 over Mauna Loa in ppm, weekly; here the mean of each month
        # Months without any measurement end in 1964. Filling them in would need values from
        # after them, so the series starts later instead: 1965 to 2001.
        weeks = [row for row in _rows(name) if row["co2"] and row["date"] >= "1965"]
        months = groupby(weeks, key=lambda row: row["date"][:6])
        return np.array([np.mean([float(row["co2"]) for row in month]) for _, month in months])
    raise ValueError(f"unknown dataset {name!r}; there are {', '.join(SEASON)}")


def _rows(name: str) -> Iterator[dict[str, str]]:
    # Reading the file itself: `statsmodels.datasets` would import pandas first, in every worker.
    text = (files("statsmodels") / "datasets" / name / f"{name}.csv").read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())


@dataclass(frozen=True)
class Part:
    """One stretch of time, ready for a model: a row for each value to be forecast.

    Models do not forecast the value itself but how far it will be from the seasonal-naive
    forecast (the value one season earlier), in units of `Split.scale`. That takes out trend and
    season, and gives every model the same start: answering 0 is the seasonal-naive forecast.
    """

    index: NDArray[np.int64]  # the position in the series of the value asked for
    inputs: Array  # (rows, lags): the values before it, oldest first, seen from `naive`, scaled
    target: Array  # (rows,): the value asked for, seen from `naive`, scaled
    naive: Array  # (rows,): the seasonal-naive forecast, in the series' own unit
    truth: Array  # (rows,): the value asked for, in the series' own unit


@dataclass(frozen=True)
class Split:
    """Fit on `train`, choose on `validation`, report on `test`: three stretches, in this order."""

    train: Part
    validation: Part
    test: Part
    scale: float


def split(values: Array, season: int, lags: int) -> Split:
    """The first 60 % of the series to train on, the next 20 % to choose on, the last to test."""
    if not season <= lags < len(values) // 2:
        raise ValueError(f"lags={lags}: expected {season} (one season) to {len(values) // 2 - 1}")
    first, second = int(0.6 * len(values)), int(0.8 * len(values))

    # One number for all three parts, and it comes from the training values alone: test values
    # must not reach a model by way of the scaling either.
    scale = float(np.std(values[season:first] - values[: first - season]))

    def part(start: int, stop: int) -> Part:
        index = np.arange(start, stop)
        naive = values[index - season]
        # A window may reach back into the part before: the past is known, only the future is not.
        windows = np.stack([values[t - lags : t] for t in index])
        inputs = (windows - naive[:, None]) / scale
        truth = values[index]
        return Part(index, inputs, (truth - naive) / scale, naive, truth)

    return Split(part(lags, first), part(first, second), part(second, len(values)), scale)
