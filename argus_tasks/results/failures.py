"""Runs that failed, those of one cause together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.results.rows import Row
from argus_tasks.runs.layout import ERROR_LOG, FAILED, RUN_LOG

_TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed runs with one cause and message.

    Attributes:
        cause: the label of the cause, or the exception's class.
        message: the first line of the error's message.
        rows: the runs, the newest last.
    """

    cause: str
    message: str
    rows: tuple[Row, ...]

    def last_lines(self, count: int = 15) -> list[str]:
        """What the newest of the runs left last, in `error.log`, else in `run.log`."""
        folder = self.rows[-1].path
        return _tail(folder / ERROR_LOG, count) or _tail(folder / RUN_LOG, count)


def failures(rows: Iterable[Row]) -> list[Failure]:
    """The failures, the most frequent first."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.status == FAILED:
            lines = (row.error_message or "").splitlines()
            cause = row.cause or row.error_type or "unknown"
            found.setdefault((cause, lines[0] if lines else ""), []).append(row)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Failure(*key, tuple(group)) for key, group in ordered]


def _tail(path: Path, count: int) -> list[str]:
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - _TAIL_BYTES))
            text = handle.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]
