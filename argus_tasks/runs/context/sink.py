"""The interface by which a run's context emits events to a monitor; `reporting` implements it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class RunSink(Protocol):
    """Takes the events of an experiment for the monitor. Its methods never raise and never wait."""

    def epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        """An epoch's numbers."""

    def log(self, message: str, level: str) -> None:
        """A line for the log view."""

    def upload(self, path: Path, *, glob: str) -> int:
        """Queue a file, or a folder's files that match; returns how many."""
        ...


class NoMonitor:
    """The sink of a run without a monitor."""

    def epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        """Nothing happens."""

    def log(self, message: str, level: str) -> None:
        """Nothing happens."""

    def upload(self, path: Path, *, glob: str) -> int:  # noqa: ARG002 - a RunSink's
        """Nothing is queued."""
        return 0
