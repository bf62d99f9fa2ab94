"""A classifier of handwritten digits, trained epoch by epoch; `search` looks for its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from argus_tasks import RunContext


def run(ctx: RunContext) -> dict[str, float] | None:
    """Train for some epochs; the validation accuracy after each may end it early."""
    config = ctx.config
    train, valid, test = _digits()
    model = MLPClassifier(
        hidden_layer_sizes=(config["width"],) * config["layers"],
        learning_rate_init=config["lr"],
        alpha=config["weight_decay"],
        batch_size=64,
        random_state=config["seed"],
    )
    best = 0.0
    for epoch in range(config["epochs"]):
        model.partial_fit(*train, classes=np.arange(10))
        accuracy = float(model.score(*valid))
        best = max(best, accuracy)
        ctx.epoch(epoch, train_loss=float(model.loss_), val_accuracy=accuracy)
        ctx.report(epoch, accuracy)
        if ctx.should_prune():
            return None
    return {"accuracy": best, "test_accuracy": float(model.score(*test))}


def _digits() -> list[tuple[np.ndarray, np.ndarray]]:
    """1,797 pictures of 8 x 8: 60 % to train on, 20 % to choose by, 20 % to report."""
    pictures, digits = load_digits(return_X_y=True)
    rest, test, rest_digits, test_digits = train_test_split(
        pictures, digits, test_size=0.2, random_state=0, stratify=digits
    )
    train, valid, train_digits, valid_digits = train_test_split(
        rest, rest_digits, test_size=0.25, random_state=0, stratify=rest_digits
    )
    scaler = StandardScaler().fit(train)
    parts = ((train, train_digits), (valid, valid_digits), (test, test_digits))
    return [(scaler.transform(data), labels) for data, labels in parts]
