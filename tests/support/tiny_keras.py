"""A small Keras model."""

from __future__ import annotations

from typing import Any


def data() -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(64, 4))


def model() -> Any:
    import keras

    made = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)], name="tiny")
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True)
    made.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"])
    return made


def fit(made: Any, *callbacks: Any, **options: Any) -> Any:
    """Three batches and a validation each epoch."""
    x = data()
    chosen = {"epochs": 3, "batch_size": 16, "validation_split": 0.25, "verbose": 0}
    return made.fit(x, x[:, :1], callbacks=list(callbacks), **{**chosen, **options})
