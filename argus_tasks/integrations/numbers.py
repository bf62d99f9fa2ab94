"""Numbers that frameworks log, with the names that the monitor uses for curves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LOSS = re.compile(r"(train|training|val|valid|validation)[_/.]loss")


def number(value: Any) -> float | None:
    """A value as a number: also a tensor or an array with one element. None where it is none."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except Exception:  # noqa: BLE001 - it may be anything
        return None


def curves(logged: Mapping[str, Any]) -> dict[str, float]:
    """The logged values that are numbers, with losses under the monitor's names.

    Args:
        logged: the values by name. `loss`, `train/loss`, `valid_loss` and the like become
            `train_loss` and `val_loss`.

    Returns:
        The numbers by name. Of a metric that was logged by step and by epoch, the epoch's value,
        under the metric's own name.
    """
    found: dict[str, float] = {}
    for name, value in logged.items():
        plain = str(name)
        stem, _, level = plain.rpartition("_")
        if level == "step" and f"{stem}_epoch" in logged:
            continue
        if level == "epoch" and f"{stem}_step" in logged:
            plain = stem
        taken = number(value)
        if taken is not None:
            found[_curve(plain)] = taken
    return found


def _curve(name: str) -> str:
    if name == "loss":
        return "train_loss"
    match = _LOSS.fullmatch(name)
    if match is None:
        return name
    return "train_loss" if match[1].startswith("train") else "val_loss"
