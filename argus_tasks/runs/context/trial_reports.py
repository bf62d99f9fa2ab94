"""Intermediate reports of a trial and its pruning, exchanged by files, from any host.

The trial appends a line to `reports.jsonl` in its folder for each intermediate value. The search
reads them, and creates a file that the trial looks for when it prunes the trial.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from argus_tasks.base.files import FileTail, dumps, open_to_append
from argus_tasks.base.jsonable import Json
from argus_tasks.runs.record.layout import REPORTS_JSONL


@dataclass(frozen=True, slots=True)
class TrialLink:
    """How a trial and its search communicate.

    Attributes:
        metric: the name of the metric that the trial reports.
        prune_file: the file that exists once the trial is pruned; None where no trial is pruned.
    """

    metric: str
    prune_file: str | None


class TrialSide(Protocol):
    """A run's connection to the search, where it is a trial."""

    @property
    def metric(self) -> str | None:
        """The name of the metric that is reported; None where the run is not a trial."""

    def report(self, step: int, value: float) -> None:
        """Report an intermediate value."""

    def should_prune(self) -> bool:
        """Whether the trial has been pruned."""
        ...

    def last(self) -> tuple[str, int, float] | None:
        """Metric, step and value of the last report; None where there has been none."""
        ...

    def close(self) -> None:
        """Called when the run has ended."""


class NoSearch:
    """The connection of a run that is not a trial: reports go nowhere, and it is never pruned."""

    @property
    def metric(self) -> str | None:
        """None."""
        return None

    def report(self, step: int, value: float) -> None:
        """Nothing happens."""

    def should_prune(self) -> bool:
        """False."""
        return False

    def last(self) -> tuple[str, int, float] | None:
        """None."""
        return None

    def close(self) -> None:
        """Nothing happens."""


class SearchTrial:
    """The connection of a run that is a trial."""

    def __init__(self, run_dir: str, link: TrialLink) -> None:
        self._path = f"{run_dir}/{REPORTS_JSONL}"
        self._link = link
        self._descriptor: int | None = None
        self._last: tuple[str, int, float] | None = None

    @property
    def metric(self) -> str | None:
        """The search's metric."""
        return self._link.metric

    def report(self, step: int, value: float) -> None:
        """Append a line to `reports.jsonl`, in one write call."""
        if self._descriptor is None:
            self._descriptor = open_to_append(self._path)
        line: dict[str, Json] = {"step": step, "value": value}
        if not math.isfinite(value):
            line |= {"value": None, "nonfinite": str(value)}
        os.write(self._descriptor, f"{dumps(line)}\n".encode())
        self._last = (self._link.metric, step, value)

    def should_prune(self) -> bool:
        """Look for the prune file: takes one or two microseconds."""
        file = self._link.prune_file
        return file is not None and os.access(file, os.F_OK)

    def last(self) -> tuple[str, int, float] | None:
        """The last report of this attempt."""
        return self._last

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ReportReader:
    """Reads the reports of a run folder as they come."""

    def __init__(self, run_dir: str) -> None:
        self._tail = FileTail(f"{run_dir}/{REPORTS_JSONL}")

    def new_reports(self) -> list[tuple[int, float]]:
        """Step and value of each complete line since the last call; lines that are not reports are
        left out."""
        try:
            lines = self._tail.lines()
        except OSError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):
                said = json.loads(line)
                value = said["value"] if said["value"] is not None else said["nonfinite"]
                found.append((int(said["step"]), float(value)))
        return found
