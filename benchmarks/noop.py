"""What every contestant runs: nothing, with a config of ordinary size."""

from __future__ import annotations

from typing import Any


def noop(ctx: Any) -> dict[str, int]:
    """An experiment that does nothing; the dict makes both runners write a metrics.json."""
    return {"value": ctx.config["index"]}


def configs(n: int) -> list[dict[str, Any]]:
    """`n` different configs, nested as people's are."""
    return [
        {
            "index": index,
            "model": "noop",
            "dataset": "none",
            "seed": index % 5,
            "optim": {"name": "adam", "lr": 0.001, "betas": [0.9, 0.999]},
        }
        for index in range(n)
    ]
