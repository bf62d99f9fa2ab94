"""Copies a script's output to the run's log, and reads metrics from it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

MARK = "METRIC"
_PAIR = re.compile(r"([^\s=]+)=(\S+)")
_LONGEST_LINE = 64 * 1024
_TAIL = 4000
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class MetricLine:
    """The metrics of a line `METRIC name=value [name=value ...] [step=N]`; `step` is None if it is
    missing."""

    metrics: dict[str, float]
    step: int | None = None


def metric_line(line: str) -> MetricLine | None:
    """Parse a `METRIC` line; None for any other line, or one that cannot be parsed."""
    words = line.split()
    if len(words) < 2 or words[0] != MARK or not line.startswith(MARK):
        return None
    metrics: dict[str, float] = {}
    for word in words[1:]:
        pair = _PAIR.fullmatch(word)
        value = _number(pair[2]) if pair else None
        if pair is None or value is None:
            return None
        metrics[pair[1]] = value
    if "step" not in metrics:
        return MetricLine(metrics)
    step = metrics.pop("step")
    if not metrics or not math.isfinite(step) or step != int(step):
        return None
    return MetricLine(metrics, int(step))


class ScriptOutput:
    """Receives the data of a script's two pipes.

    Args:
        log: the file descriptor of the run's log.
        on_metrics: called with each `METRIC` line.
        on_malformed: called with the first line that begins with `METRIC` and cannot be parsed.
        screen: whether everything is also copied to this process's own output.
    """

    def __init__(
        self,
        log: int,
        on_metrics: Callable[[MetricLine], None],
        on_malformed: Callable[[str], None],
        *,
        screen: bool = False,
    ) -> None:
        self.last: dict[str, float] = {}
        """The last value of each metric."""
        self._log = log
        self._on_metrics = on_metrics
        self._on_malformed: Callable[[str], None] | None = on_malformed
        self._screen = screen
        self._line = b""
        self._skipping = False
        self._tails = {1: b"", 2: b""}

    def take(self, number: int, data: bytes) -> None:
        """Receive data of the standard output (1) or the standard error (2)."""
        # On a full disk, output is lost without failing the run, as are the logger's lines.
        with suppress(OSError):
            os.write(self._log, data)
        if self._screen:
            with suppress(OSError):
                os.write(number, data)
        self._tails[number] = (self._tails[number] + data)[-_TAIL:]
        if number == 1:
            self._read_lines(data)

    def end(self) -> None:
        """Read the last line, which may lack its line end."""
        if self._line and not self._skipping:
            self._read(self._line)
        self._line = b""

    def tail(self) -> tuple[str, str]:
        """The last lines, and their stream: `stderr`, or `stdout` if nothing was written to
        `stderr`."""
        name, tail = (
            ("stderr", self._tails[2]) if self._tails[2].strip() else ("stdout", self._tails[1])
        )
        if len(tail) == _TAIL:
            tail = tail.partition(b"\n")[2] or tail
        return name, tail.decode("utf-8", "replace").strip("\n")

    def last_line(self) -> str:
        """The last line of `stderr` that is not empty; empty if there is none."""
        lines = self._tails[2].decode("utf-8", "replace").split("\n")
        return next(
            (line.strip()[:_LONGEST_REASON] for line in reversed(lines) if line.strip()), ""
        )

    def _read_lines(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            if not self._skipping:
                self._read(line)
            self._skipping = False
        # A progress bar may never end its line; it must not fill the memory.
        if len(rest) > _LONGEST_LINE:
            self._skipping, rest = True, b""
        self._line = rest

    def _read(self, line: bytes) -> None:
        if not line.startswith(MARK.encode() + b" "):
            return
        text = line.decode("utf-8", "replace").strip()
        said = metric_line(text)
        if said is not None:
            self.last |= said.metrics
            self._on_metrics(said)
        elif self._on_malformed is not None:
            on_malformed, self._on_malformed = self._on_malformed, None
            on_malformed(text[:200])


def _number(text: str) -> float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
