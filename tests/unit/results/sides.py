"""Sides of a comparison, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.results.compare.sides import Side
from argus_tasks.results.read.rows import Row


def row(config: Mapping[str, Any], metrics: Mapping[str, Any] | None, **more: Any) -> Row:
    """A run that succeeded, or, without metrics, failed."""
    values: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__)
    values |= {
        "run_id": "r",
        "status": "failed" if metrics is None else "succeeded",
        "config": dict(config),
        "metrics": dict(metrics or {}),
        "attempt": 1,
        "path": Path("nowhere"),
    }
    return Row(**values | more)


def side(rows: Sequence[Row], **more: Any) -> Side:
    values: dict[str, Any] = dict.fromkeys(Side.__dataclass_fields__)
    return Side(**values | {"label": "a side", "rows": tuple(rows), "ignore_keys": ()} | more)


def cells(values: Mapping[str, Sequence[float | None]], metric: str = "mse", **more: Any) -> Side:
    """A side with a cell for each model, and its values with seeds 0, 1, ..."""
    return side(
        [
            row({"model": model, "seed": seed}, None if value is None else {metric: value}, **more)
            for model, numbers in values.items()
            for seed, value in enumerate(numbers)
        ]
    )
