"""Experiments of the tests of searches."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from argus_tasks.runs.context.run_context import RunContext

LIMIT_S = 60.0


def bowl(ctx: RunContext) -> dict[str, float]:
    """Least at x = 1 and depth = 3."""
    _mark(ctx)
    x, depth = ctx.config.get("x", 1.0), ctx.config.get("depth", 3)
    time.sleep(ctx.config.get("seconds", 0.0))
    return {"loss": (x - 1.0) ** 2 + abs(depth - 3)}


def hopeless(ctx: RunContext) -> dict[str, float] | None:
    """Good ones end at once, bad ones wait to be given up."""
    _mark(ctx)
    if ctx.config["good"]:
        ctx.report(0, 0.1)
        return {"loss": 0.1}
    ctx.report(0, 5.0)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if ctx.should_prune():
            if ctx.config.get("raises"):
                raise TrialPruned
            return None
        time.sleep(0.01)
    return {"loss": 5.0}


def deadly(ctx: RunContext) -> dict[str, float]:
    """A `kind` each: some fail, some kill their process, some say nothing."""
    _mark(ctx)
    kind = ctx.config["kind"]
    if kind == "raise":
        raise ValueError("no")
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    return {"other": 1.0} if kind == "mute" else {"loss": 1.0}


def mixed(ctx: RunContext) -> dict[str, float] | None:
    """`kind`s that are good, one that dies, and one that is hopeless and slow."""
    kind = ctx.config["kind"]
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    value = 9.0 if kind == "hopeless" else 0.1
    for step in range(300):
        ctx.report(step, value)
        if ctx.should_prune():
            return None
        if kind == "hopeless":
            time.sleep(LIMIT_S / 300)
    return {"loss": value}


class TrialPruned(Exception):
    """Known by its name, as Optuna's."""


def _mark(ctx: RunContext) -> None:
    """A file for each attempt; the attempt cannot be made twice."""
    folder: Any = ctx.config.get("marks")
    if folder:
        path = Path(folder) / f"{ctx.run_id}.{ctx.attempt}"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
