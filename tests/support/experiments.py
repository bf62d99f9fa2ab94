"""Experiments that tests run; importable by worker processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from argus_tasks import RunContext, SkipRun


def score(ctx: RunContext) -> dict[str, Any]:
    """Succeeds; says something on every channel."""
    ctx.log_metric(0, {"loss": 0.5})
    ctx.log_metric(1, {"loss": 0.25}, split="valid")
    ctx.logger.info("scoring %s", ctx.config)
    print("printed")
    os.system("echo from a child process")
    return {"score": ctx.config["x"] * 2, "seed": ctx.config.get("seed")}


def noop(ctx: RunContext) -> dict[str, Any]:
    return {"x": ctx.config.get("x")}


def mixed(ctx: RunContext) -> dict[str, Any] | list[int] | None:
    """Ends as its config says."""
    kind = ctx.config["kind"]
    if kind == "value_error":
        raise ValueError("a bad value")
    if kind == "skip":
        raise SkipRun("not today")
    if kind == "list":
        return [1]
    if kind == "none":
        return None
    if kind == "exit":
        sys.exit(3)
    if kind == "os_exit":
        os._exit(4)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "nan":
        return {"loss": float("nan"), "ok": 1.0}
    return {"kind": kind}


def flaky(ctx: RunContext) -> dict[str, Any]:
    """Fails until its attempt is the one that the config names."""
    if ctx.attempt < ctx.config["succeeds_at"]:
        raise ConnectionResetError(f"attempt {ctx.attempt}")
    return {"attempt": ctx.attempt}


def spanning(ctx: RunContext) -> None:
    """Leaves a file that says when it began and when it ended, which is not before `until`."""
    begun = time.monotonic()
    time.sleep(0.1)
    while ctx.config.get("until") and not Path(ctx.config["until"]).exists():
        time.sleep(0.05)
    (Path(ctx.config["marks"]) / ctx.run_id).write_text(f"{begun} {time.monotonic()}")


def slow(ctx: RunContext) -> dict[str, Any]:
    """Marks its start with a file of its own and sleeps."""
    mark = Path(ctx.config["marks"], f"{ctx.config['x']}-{ctx.attempt}")
    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    while ctx.config.get("swallows"):
        try:
            time.sleep(ctx.config["seconds"])
        except KeyboardInterrupt:
            Path(ctx.config["marks"], "swallowed").touch()
    if ctx.config.get("heeds_stop"):
        while not ctx.stopped:
            time.sleep(0.01)
        (ctx.checkpoints_dir / "saved").write_text("yes")
        return {"partial": True}
    time.sleep(ctx.config.get("seconds", 60))
    return {"x": ctx.config["x"]}


def nap(ctx: RunContext) -> dict[str, Any]:
    time.sleep(ctx.config["nap_s"])
    return {"x": ctx.config["x"]}


def pid(ctx: RunContext) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "prefect": "prefect" in sys.modules,
        "httpx": "httpx" in sys.modules,
        "x": ctx.config["x"],
    }


def sleeps(ctx: RunContext) -> dict[str, Any]:
    time.sleep(ctx.config.get("seconds", 0))
    return {}


def breaks(ctx: RunContext) -> dict[str, Any]:
    """Fails while a file says that its model is broken, and lasts while one says that all do."""
    while Path(ctx.config["marks"], "held").exists():
        time.sleep(0.02)
    if Path(ctx.config["marks"], f"broken-{ctx.config['model']}").exists():
        raise ImportError(f"no package for run {ctx.run_id}")
    time.sleep(ctx.config.get("seconds", 0))
    return {}


def counted(ctx: RunContext) -> dict[str, Any]:
    """Marks each time it is begun with a file of its own, with its pid, and takes a tenth of a
    second; with a gate, also until the number in that file is above its x."""
    number = 0
    while True:
        number += 1
        try:
            mark = Path(ctx.config["marks"], f"{ctx.config['x']}-{number}")
            made = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(made, str(os.getpid()).encode())
            os.close(made)
            break
        except FileExistsError:
            continue
    gate = ctx.config.get("gate")
    while gate and ctx.config["x"] >= int(Path(gate).read_text()) and not ctx.stopped:
        time.sleep(0.01)
    for step in range(5):
        ctx.log_metric(step, {"loss": 1 / (step + 1)})
        time.sleep(0.02)
    return {"x": ctx.config["x"]}


def marked_at_both_ends(ctx: RunContext) -> dict[str, Any]:
    """Marks its beginning (with its pid) and its end, each time with a file of its own."""
    from tests.support.torture_script import held, mark

    number = mark(ctx.config["marks"], ctx.config["x"], "begun")
    for step in range(6):
        ctx.log_metric(step, {"loss": 1 / (step + 1)})
        time.sleep(0.05)
    while held(ctx.config["marks"]) and not ctx.stopped:
        time.sleep(0.05)
    mark(ctx.config["marks"], ctx.config["x"], "done")
    return {"loss": float(ctx.config["x"]), "number": number}
