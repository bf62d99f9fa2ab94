"""The models: four of different kinds, fitted on `train`, chosen on `validation`.

Each model is a generator of candidates: ridge gives one for each penalty, boosting one every few
trees, the network one each epoch. `fit` keeps the candidate that does best on the validation part.
Neither ever sees the test part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from series import Array, Part

# From a part's inputs (rows, lags) to its forecasts (rows,), scaled and seen from the naive one.
Forecaster = Callable[[Array], Array]
# Told of each candidate: its number from 1, its loss on train and on validation.
Report = Callable[[int, float, float], None]


def fit(config: Mapping[str, Any], train: Part, validation: Part, report: Report) -> Forecaster:
    """The best candidate of the model that the config names."""
    model = config["model"]
    if model not in MODELS:
        raise ValueError(f"unknown model {model!r}; there are {', '.join(MODELS)}")
    best, best_loss = None, float("inf")
    for step, candidate in enumerate(MODELS[model](config, train), start=1):
        train_loss = mse(candidate(train.inputs), train.target)
        validation_loss = mse(candidate(validation.inputs), validation.target)
        report(step, train_loss, validation_loss)
        if validation_loss < best_loss:
            best, best_loss = candidate, validation_loss
    if best is None:  # every loss was nan: a failed run is better than a number nobody can explain
        raise ArithmeticError(f"{model}: no candidate has a finite validation loss")
    return best


def mse(forecast: Array, truth: Array) -> float:
    """Mean squared error."""
    return float(np.mean((forecast - truth) ** 2))


def mae(forecast: Array, truth: Array) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(forecast - truth)))


def naive(config: Mapping[str, Any], train: Part) -> Iterator[Forecaster]:  # noqa: ARG001
    """The value one season earlier. Everything is told as seen from it, so here it is zero."""
    yield lambda inputs: np.zeros(len(inputs))


def ridge(config: Mapping[str, Any], train: Part) -> Iterator[Forecaster]:
    """Linear autoregression, one candidate for each penalty. No randomness: the seed is unused."""
    mean = train.inputs.mean(axis=0)
    offset = train.target.mean()
    x, y = train.inputs - mean, train.target - offset
    for penalty in config["penalties"]:
        weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
        # partial keeps this round's weights; a lambda would see those of the last round.
        yield partial(_linear, weights, mean, offset)


def _linear(weights: Array, mean: Array, offset: float, inputs: Array) -> Array:
    return (inputs - mean) @ weights + offset


def gbm(config: Mapping[str, Any], train: Part) -> Iterator[Forecaster]:
    """Gradient boosting, one candidate every 10 trees. The seed draws the rows each tree sees."""
    # Imported here because it takes a second, and only a worker that runs a gbm has to pay it.
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        n_estimators=config["trees"],
        max_depth=config["depth"],
        learning_rate=config["learning_rate"],
        subsample=0.5,
        random_state=config["seed"],
    )
    model.fit(train.inputs, train.target)
    for trees in range(10, config["trees"] + 1, 10):
        yield partial(_first_trees, model, trees)


def _first_trees(model: Any, trees: int, inputs: Array) -> Array:
    # staged_predict forecasts with 1 tree, with 2 trees, and so on.
    forecast: Array = next(islice(model.staged_predict(inputs), trees - 1, None))
    return forecast


def mlp(config: Mapping[str, Any], train: Part) -> Iterator[Forecaster]:
    """A network with one hidden layer, one candidate each epoch.

    Plain numpy, so that nothing hides what an epoch is. The seed draws the first weights and the
    order of the batches.
    """
    rng = np.random.default_rng(config["seed"])
    rows, lags = train.inputs.shape
    hidden = config["hidden"]
    weights = [
        rng.normal(0, lags**-0.5, (lags, hidden)),
        np.zeros(hidden),
        rng.normal(0, hidden**-0.5, hidden),
        np.zeros(1),
    ]
    # Adam's running means of each gradient and of its square.
    first = [np.zeros_like(weight) for weight in weights]
    second = [np.zeros_like(weight) for weight in weights]
    update = 0
    for _ in range(config["epochs"]):
        for batch in np.array_split(rng.permutation(rows), max(1, rows // config["batch_size"])):
            update += 1
            gradients = _gradients(weights, train.inputs[batch], train.target[batch])
            for i, gradient in enumerate(gradients):
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                step = (first[i] / (1 - 0.9**update)) / (
                    np.sqrt(second[i] / (1 - 0.999**update)) + 1e-8
                )
                # A new array, not `-=`: the epochs before keep the weights they had.
                weights[i] = weights[i] - config["learning_rate"] * step
        yield partial(_answer, list(weights))


def _answer(weights: list[Array], inputs: Array) -> Array:
    return _network(weights, inputs)[1]


def _network(weights: list[Array], inputs: Array) -> tuple[Array, Array]:
    """The hidden layer's values (rows, hidden) and the forecasts (rows,)."""
    into, bias, out, offset = weights
    hidden = np.tanh(inputs @ into + bias)
    return hidden, hidden @ out + offset


def _gradients(weights: list[Array], inputs: Array, target: Array) -> list[Array]:
    """Of the mean squared error, for each of the weights, by the chain rule."""
    hidden, forecast = _network(weights, inputs)
    error = 2 * (forecast - target) / len(target)
    below = np.outer(error, weights[2]) * (1 - hidden**2)
    return [inputs.T @ below, below.sum(axis=0), hidden.T @ error, error.sum(keepdims=True)]


MODELS: dict[str, Callable[[Mapping[str, Any], Part], Iterator[Forecaster]]] = {
    "naive": naive,
    "ridge": ridge,
    "gbm": gbm,
    "mlp": mlp,
}
