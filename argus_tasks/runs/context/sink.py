"""Where a run's context tells a monitor what happens. `reporting` has one that does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class RunSink(Protocol):
    """What a monitor is told from inside an experiment. Never raises, never waits."""

    def epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        """A point of the run's curves."""

    def log(self, message: str, level: str) -> None:
        """A line for the log view."""

    def upload(self, path: Path, *, glob: str) -> int:
        """Send a file, or a folder's files that match; how many were taken."""
        ...


class NoMonitor:
    """Nobody is told."""

    def epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        """Nothing happens."""

    def log(self, message: str, level: str) -> None:
        """Nothing happens."""

    def upload(self, path: Path, *, glob: str) -> int:  # noqa: ARG002 - a RunSink's
        """Nothing is taken."""
        return 0
