"""Wall-clock time as the run folders and the events write it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def utc_now_iso() -> str:
    """Now as ISO 8601 in UTC with microseconds: `2026-11-23T01:29:55.297053+00:00`."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
