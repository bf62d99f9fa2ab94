"""The wall-clock time, as run folders and events contain it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present time in UTC, with its time zone."""
    return datetime.now(UTC)


def utc_now_iso() -> str:
    """The present time as ISO 8601 in UTC with microseconds: `2026-11-23T01:29:55.297053+00:00`."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
