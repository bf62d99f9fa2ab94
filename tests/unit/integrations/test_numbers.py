"""What frameworks log, as curves."""

from __future__ import annotations

import math

import numpy as np

from argus_tasks.integrations.numbers import curves, number


def test_numbers() -> None:
    assert number(3) == 3
    assert number(np.float32(0.5)) == 0.5
    assert number(np.ones((1,))[0]) == 1.0
    assert math.isnan(number(float("nan")) or 0.0)
    for other in ("0.5", b"1", None, np.ones(3), object()):
        assert number(other) is None


def test_losses_get_the_names_that_a_monitor_draws() -> None:
    logged = {"loss": 1, "valid/loss": 2, "val.loss_sum": 3, "accuracy": 0.5, "note": "x"}
    assert curves(logged) == {"train_loss": 1, "val_loss": 2, "val.loss_sum": 3, "accuracy": 0.5}
    assert curves({"training_loss": 1, "validation_loss": 2}) == {"train_loss": 1, "val_loss": 2}


def test_of_steps_and_epochs_the_epochs_are_taken() -> None:
    logged = {"f1": 9, "f1_step": 1, "f1_epoch": 2, "first_step": 3, "last_epoch": 4}
    assert curves(logged) == {"f1": 2, "first_step": 3, "last_epoch": 4}
    assert curves({"train_loss_step": 1, "train_loss_epoch": 2}) == {"train_loss": 2}
