"""A classifier of handwritten digits; what it logs goes to its folder and to every tracker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from argus_tasks import RunContext


def run(ctx: RunContext) -> dict[str, float]:
    """Train for some epochs and report the accuracy of each."""
    images, digits = load_digits(return_X_y=True)
    train_x, valid_x, train_y, valid_y = train_test_split(images / 16, digits, random_state=0)
    model = SGDClassifier(loss="log_loss", alpha=ctx.config["alpha"], random_state=0)
    accuracy = 0.0
    for epoch in range(8):
        model.partial_fit(train_x, train_y, classes=np.arange(10))
        accuracy = float(model.score(valid_x, valid_y))
        ctx.epoch(epoch, val_accuracy=accuracy)
    return {"accuracy": accuracy}
