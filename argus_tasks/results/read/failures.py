"""Failed runs grouped by cause, with the last lines of their logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base.files import read_end, read_json
from argus_tasks.base.redact import known_secrets, redact, secrets_of
from argus_tasks.results.read.rows import Row
from argus_tasks.runs.record.layout import CONFIG_JSON, ERROR_LOG, FAILED, RUN_LOG

LAST_LINES = 12
_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Failures:
    """The runs that failed with one cause.

    Attributes:
        cause: the label (`runs.record.causes`).
        rows: the runs, the oldest first.
        messages: their error messages with counts, the most frequent first.
        shown: the run of `last_lines`: the newest that has a log.
        log: the name of the log file; empty where no run has one.
        last_lines: the last lines of that log.
    """

    cause: str
    rows: tuple[Row, ...]
    messages: tuple[tuple[str, int], ...]
    shown: Row
    log: str
    last_lines: tuple[str, ...]


def failures(rows: Iterable[Row]) -> tuple[Failures, ...]:
    """The failed runs by cause, the most frequent first."""
    by_cause: dict[str, list[Row]] = {}
    for row in rows:
        if row.status == FAILED:
            by_cause.setdefault(row.cause or row.error_type or "unknown", []).append(row)
    return tuple(
        _grouped(cause, found)
        for cause, found in sorted(by_cause.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _grouped(cause: str, rows: list[Row]) -> Failures:
    messages = Counter(row.error_message or "" for row in rows)
    for row in rows[:-6:-1]:
        for name in (ERROR_LOG, RUN_LOG):
            lines = last_lines(row.path / name)
            if lines:
                return Failures(cause, tuple(rows), _most(messages), row, name, lines)
    return Failures(cause, tuple(rows), _most(messages), rows[-1], "", ())


def _most(messages: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple((text, count) for text, count in messages.most_common() if text)


def last_lines(path: Path, count: int = LAST_LINES) -> tuple[str, ...]:
    """The last lines of a run's log, without secrets; empty where there is no such file."""
    try:
        text = read_end(path, _TAIL_BYTES)
    except OSError:
        return ()
    try:
        secrets = secrets_of(read_json(path.parent / CONFIG_JSON))
    except (OSError, ValueError):
        secrets = known_secrets()
    return tuple(redact(text, secrets).rstrip().splitlines()[-count:])
