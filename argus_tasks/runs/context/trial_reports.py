"""What a trial of a search says of itself while it runs, and hears: files, from whatever host.

The trial appends a line to `reports.jsonl` in its folder for each intermediate value. Whoever
searches reads them, and puts a file where the trial looks for one once it is given up.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from argus_tasks.base.files import dumps
from argus_tasks.base.jsonable import Json
from argus_tasks.runs.record.layout import REPORTS_JSONL


@dataclass(frozen=True, slots=True)
class TrialLink:
    """How a trial hears of its end.

    Attributes:
        metric: the name of what it reports.
        prune_file: there once the trial is given up; None where none ever is.
    """

    metric: str
    prune_file: str | None


class TrialSide(Protocol):
    """A run as a trial of a search."""

    @property
    def metric(self) -> str | None:
        """What is reported; None where it is no trial."""

    def report(self, step: int, value: float) -> None:
        """Tell an intermediate value."""

    def should_prune(self) -> bool:
        """Whether the trial has been given up."""
        ...

    def last(self) -> tuple[str, int, float] | None:
        """Metric, step and value of the last report; None where there has been none."""
        ...

    def close(self) -> None:
        """The run has ended."""


class NoSearch:
    """The run is no trial: nobody is told, and nobody gives it up."""

    @property
    def metric(self) -> str | None:
        """There is none."""
        return None

    def report(self, step: int, value: float) -> None:
        """Nothing happens."""

    def should_prune(self) -> bool:
        """Never."""
        return False

    def last(self) -> tuple[str, int, float] | None:
        """There has been none."""
        return None

    def close(self) -> None:
        """Nothing happens."""


class SearchTrial:
    """The run is a trial."""

    def __init__(self, run_dir: str, link: TrialLink) -> None:
        self._path = f"{run_dir}/{REPORTS_JSONL}"
        self._link = link
        self._descriptor: int | None = None
        self._last: tuple[str, int, float] | None = None

    @property
    def metric(self) -> str | None:
        """As the search says."""
        return self._link.metric

    def report(self, step: int, value: float) -> None:
        """Append a line, in one write."""
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o666)
        line: dict[str, Json] = {"step": step, "value": value}
        if not math.isfinite(value):
            line |= {"value": None, "nonfinite": str(value)}
        os.write(self._descriptor, f"{dumps(line)}\n".encode())
        self._last = (self._link.metric, step, value)

    def should_prune(self) -> bool:
        """Look for the file: a microsecond or two."""
        file = self._link.prune_file
        return file is not None and os.access(file, os.F_OK)

    def last(self) -> tuple[str, int, float] | None:
        """As this attempt has reported."""
        return self._last

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ReportReader:
    """Reads the reports of a run folder as they come."""

    def __init__(self, run_dir: str) -> None:
        self._path = f"{run_dir}/{REPORTS_JSONL}"
        self._offset = 0

    def news(self) -> list[tuple[int, float]]:
        """Step and value of each whole line since the last call; what is no report is passed
        over."""
        try:
            if os.stat(self._path).st_size <= self._offset:  # noqa: PTH116 - many times a second
                return []
            with open(self._path, "rb") as handle:  # noqa: PTH123
                handle.seek(self._offset)
                data = handle.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = []
        for line in whole.splitlines():
            with suppress(ValueError, TypeError, KeyError):
                said = json.loads(line)
                value = said["value"] if said["value"] is not None else said["nonfinite"]
                found.append((int(said["step"]), float(value)))
        return found
