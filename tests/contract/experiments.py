"""The same experiment for either package, which differ in one exception's class."""

from __future__ import annotations

from typing import Any

import ztxexp

import argus_tasks


def _run(ctx: Any, skip: type[Exception], attempt: int) -> Any:
    kind = ctx.config["kind"]
    ctx.logger.info("running %s", kind)
    if kind == "value_error":
        raise ValueError("bad")
    if kind == "list":
        return [1]
    if kind == "none":
        return None
    if kind == "skip":
        raise skip("not today")
    if kind == "flaky" and attempt < ctx.config["succeeds_at"]:
        raise ConnectionResetError("again")
    if kind == "ok":
        ctx.log_metric(1, {"loss": 0.5})
    return {"kind": kind, "score": 1.5}


def for_ztxexp(ctx: Any) -> Any:
    return _run(ctx, ztxexp.SkipRun, ctx.meta.attempt)


def for_argus_tasks(ctx: Any) -> Any:
    return _run(ctx, argus_tasks.SkipRun, ctx.meta.attempt)


class FileTracker:
    """Notes what it is told in the run folder."""

    def on_run_start(self, ctx: Any, meta: Any) -> None:
        self._note(ctx, "start")

    def on_metric(self, ctx: Any, event: Any) -> None:
        self._note(ctx, "metric")

    def on_run_end(self, ctx: Any, summary: Any) -> None:
        self._note(ctx, "end")

    def _note(self, ctx: Any, word: str) -> None:
        with (ctx.run_dir / "tracked").open("a") as handle:
            handle.write(f"{word} ")


class RaisingTracker:
    """Raises whenever it is told anything."""

    def on_run_start(self, ctx: Any, meta: Any) -> None:
        raise RuntimeError("start")

    def on_metric(self, ctx: Any, event: Any) -> None:
        raise RuntimeError("metric")

    def on_run_end(self, ctx: Any, summary: Any) -> None:
        raise RuntimeError("end")
