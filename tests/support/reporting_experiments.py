"""Experiments that tell a monitor what they do; importable by worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from argus_tasks import Reporter, RunContext, SkipRun, emit, get_batch_id

EPOCHS = 3


def train(ctx: RunContext) -> dict[str, Any]:
    """Some epochs, then an end as its config says."""
    for epoch in range(EPOCHS):
        ctx.epoch(epoch, train_loss=1.0 / (epoch + 1), lr=0.1)
    kind = ctx.config.get("kind", "well")
    if kind == "skip":
        raise SkipRun("not today")
    if kind == "fail":
        ctx.log("about to fail", "WARNING")
        raise ValueError("a bad value")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(3)
    if kind == "flaky" and ctx.attempt == 1:
        raise ConnectionResetError("for now")
    return {"loss": 0.25, "kind": kind}


def with_reporter(ctx: RunContext) -> dict[str, Any]:
    """Uses a reporter of its own, and `emit`, as any script would."""
    with Reporter("mine") as r, r.job("whatever") as j:
        for epoch in range(EPOCHS):
            j.epoch(epoch, train_loss=0.5)
        j.metrics({"accuracy": 0.9, "loss": 0.1})
        emit("log_line", line=f"in {get_batch_id()}", level="info")
    return {"loss": 0.25}


def with_metrics(ctx: RunContext) -> None:
    """Logs metrics the older way."""
    for step in range(EPOCHS):
        ctx.log_metric(step, {"loss": 0.5, "lr": 0.1})
        ctx.log_metric(step, {"loss": 0.7}, split="valid")
    ctx.log_metric(EPOCHS, {"loss": 0.9}, split="test")
    ctx.log_metric(EPOCHS, {"loss": 0.9}, phase="eval")


def with_upload(ctx: RunContext) -> None:
    (ctx.artifacts_dir / "curve.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    assert ctx.upload("artifacts") == 1


async def waits(ctx: RunContext) -> dict[str, Any]:
    for epoch in range(EPOCHS):
        await asyncio.sleep(0.001)
        emit("job_epoch", epoch=epoch, train_loss=0.1)
    return {"x": ctx.config["x"]}


def burns(ctx: RunContext) -> dict[str, Any]:
    """Uses memory, then some of the processor."""
    held = bytearray(ctx.config["mb"] * 1024 * 1024)
    end = time.process_time() + ctx.config["cpu_s"]
    while time.process_time() < end:
        pass
    return {"size": len(held)}


CHILD = """
import sys
from argus_tasks import Reporter
with Reporter("a script of its own", n_total=1) as r, r.job("whatever") as j:
    for epoch in range(int(sys.argv[1])):
        j.epoch(epoch, train_loss=0.5)
    j.metrics({"accuracy": 0.75})
"""


def with_child(ctx: RunContext) -> dict[str, Any]:
    """Starts a script that has a reporter of its own."""
    subprocess.run([sys.executable, "-c", CHILD, "50"], check=True)
    return {"loss": 0.25}


def with_fork(ctx: RunContext) -> None:
    """Forks a process that goes on with the run's context."""
    ctx.epoch(0, train_loss=0.5)
    ctx.epoch(1, train_loss=0.5)
    child = os.fork()
    if child == 0:
        for epoch in range(50):
            ctx.epoch(epoch, train_loss=0.5)
        os._exit(0)
    os.waitpid(child, 0)


def until_stopped(ctx: RunContext) -> dict[str, Any]:
    """Marks its start, then waits for the stop; returns how long that took."""
    mark = Path(ctx.config["marks"], f"{ctx.config['x']}-{ctx.attempt}")
    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    epoch = 0
    while not ctx.stopped:
        ctx.epoch(epoch, train_loss=0.1)
        epoch += 1
        time.sleep(0.02)
    (ctx.checkpoints_dir / "seen").write_text(str(time.time()))
    return {"partial": True}
