"""What a run's context writes and tells a monitor."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.runs.context.run_context import RunContext


class Heard:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        self.told.append(("epoch", epoch, dict(numbers)))

    def log(self, message: str, level: str) -> None:
        self.told.append(("log", message, level))

    def upload(self, path: Path, *, glob: str) -> int:
        self.told.append(("upload", path, glob))
        return 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def ctx(tmp_path: Path, heard: Heard) -> RunContext:
    return RunContext("run", tmp_path, {}, logging.getLogger("test"), _sink=heard)


def lines(ctx: RunContext) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ctx.run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("split", "phase", "told"),
    [
        ("train", "fit", {"train_loss": 0.5, "lr": 0.1, "val_acc": 0.9, "batch_time_ms": 3}),
        ("valid", "fit", {"val_loss": 0.5, "lr": 0.1, "val_acc": 0.9, "batch_time_ms": 3}),
        ("val", "fit", {"val_loss": 0.5, "lr": 0.1, "val_acc": 0.9, "batch_time_ms": 3}),
        ("test", "fit", None),
        ("train", "eval", None),
    ],
)
def test_metrics_of_the_training_are_epochs(
    ctx: RunContext, heard: Heard, split: str, phase: str, told: dict[str, Any] | None
) -> None:
    given = {"loss": 0.5, "lr": 0.1, "val_acc": 0.9, "batch_time_ms": 3}
    ctx.log_metric(4, given, split=split, phase=phase)
    assert heard.told == ([("epoch", 4, told)] if told else [])
    assert lines(ctx)[0]["metrics"] == given


def test_outside_of_a_sweep_there_is_no_run() -> None:
    assert RunContext.current() is None


def test_a_step_below_zero_is_no_epoch(ctx: RunContext, heard: Heard) -> None:
    ctx.log_metric(-1, {"loss": 0.5})
    assert heard.told == []


def test_an_epoch_is_kept_and_told(ctx: RunContext, heard: Heard) -> None:
    ctx.epoch(0, train_loss=0.5, val_loss=float("nan"))
    ctx.log_metric(0, {"acc": 1.0}, split="valid")
    ctx.epoch(1, train_loss=0.25)
    assert [one[:2] for one in heard.told] == [("epoch", 0), ("epoch", 0), ("epoch", 1)]
    first = lines(ctx)[0]
    assert (first["step"], first["split"], first["phase"]) == (0, "train", "fit")
    assert first["metrics"] == {"train_loss": 0.5, "val_loss": None}
    assert ctx._epochs == 2


def test_lines_and_uploads(ctx: RunContext, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="test"):
        ctx.log("careful", "WARNING")
        ctx.log("100 %", "no such level")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("WARNING", "careful"),
        ("INFO", "100 %"),
    ]
    assert ctx.upload("artifacts") == 1
    assert ctx.upload(Path("/elsewhere/a.png"), glob="*") == 1
    assert heard.told == [
        ("log", "careful", "WARNING"),
        ("log", "100 %", "no such level"),
        ("upload", ctx.run_dir / "artifacts", "**/*.png"),
        ("upload", Path("/elsewhere/a.png"), "*"),
    ]


def test_without_a_monitor(tmp_path: Path) -> None:
    ctx = RunContext("run", tmp_path, {}, logging.getLogger("test"))
    ctx.epoch(0, loss=1)
    ctx.log("unheard")
    assert ctx.upload("artifacts") == 0
