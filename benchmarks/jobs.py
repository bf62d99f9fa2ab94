"""What contestants run: nothing, work for the CPU, or a pause; with configs of ordinary size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Given:
    """What an experiment is given by those who have no context: the config alone."""

    config: Mapping[str, Any]


def noop(ctx: Any) -> dict[str, int]:
    """An experiment that does nothing; the dict makes runners write a metrics.json."""
    return {"value": ctx.config["index"]}


def burn(ctx: Any) -> dict[str, int]:
    """Uses `seconds` of CPU time, however long a full machine takes to give it."""
    until = time.thread_time() + ctx.config["seconds"]
    while time.thread_time() < until:
        pass
    return noop(ctx)


def pause(ctx: Any) -> dict[str, int]:
    """Takes `seconds`, and no CPU."""
    time.sleep(ctx.config["seconds"])
    return noop(ctx)


def mark(ctx: Any) -> dict[str, int]:
    """Writes down when it runs, in seconds since the epoch, in the file `mark`."""
    Path(ctx.config["mark"]).write_text(str(time.time()))
    return {"value": 1}


JOBS: Mapping[str, Callable[[Any], dict[str, int]]] = {"noop": noop, "burn": burn, "pause": pause}


def call(job: str, config: Mapping[str, Any]) -> int:
    """A job as a plain function, for contestants that know no experiments."""
    return JOBS[job](Given(config))["value"]


def configs(n: int, seconds: float = 0.0) -> list[dict[str, Any]]:
    """`n` different configs, nested as people's are."""
    return [
        {
            "index": index,
            "model": "noop",
            "dataset": "none",
            "seed": index % 5,
            "seconds": seconds,
            "optim": {"name": "adam", "lr": 0.001, "betas": [0.9, 0.999]},
        }
        for index in range(n)
    ]


def stubborn(ctx: Any) -> None:
    """Writes down when it runs and when it is told to stop, which it does not."""
    folder = Path(ctx.config["folder"])
    (folder / f"ran-{ctx.config['index']}").write_text(str(time.time()))
    while not ctx.stopped:
        time.sleep(0.005)
    heard = folder / f"heard-{ctx.config['index']}.new"
    heard.write_text(str(time.time()))
    heard.rename(folder / f"heard-{ctx.config['index']}")
    time.sleep(120)
