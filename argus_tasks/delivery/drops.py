"""Counts of the events that a process could not store, by reason.

The file is allocated beforehand and overwritten in place, so a full disk does not stop it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from argus_tasks.base.files import read_whole
from argus_tasks.delivery.batch_counts import CountsByBatch
from argus_tasks.delivery.checked_json import seal, unseal
from argus_tasks.delivery.events import LINE_START, series_of

_BYTES = 4096


class Drops:
    """The drops file of one chain.

    For each series of ids: the batch, the highest number dropped, and how many by reason.
    """

    def __init__(self, path: str) -> None:
        self._series = read_drops(path)
        self.descriptor = -1
        # Where there is no disk space even for this, the counts last as long as the process.
        with suppress(OSError):
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not self._series:
                os.pwrite(self.descriptor, b" " * _BYTES, 0)

    def add(self, batch_id: str, line: bytes, reason: str) -> None:
        """Count one event that is not stored."""
        try:
            prefix, number = series_of(line[line.index(LINE_START) :])
        except ValueError:
            return
        add_drops(self._series, prefix, batch_id, number, {reason: 1})
        self._write()

    def interrupted(self, batch_id: str, prefix: str) -> None:
        """Count a call that an exception (Ctrl-C, a signal handler's) ended while it was sending an
        event: it may have used up a number without writing the event."""
        entry = add_drops(self._series, prefix, batch_id, -1, {})
        entry["interrupted"] = entry.get("interrupted", 0) + 1
        self._write()

    def _write(self) -> None:
        with suppress(OSError):
            os.pwrite(self.descriptor, seal(self._series).ljust(_BYTES), 0)

    def close(self) -> None:
        """Close the file. It is kept until all of its chain is delivered."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def add_drops(
    found: dict[str, dict[str, Any]],
    prefix: str,
    batch_id: str,
    last: int,
    reasons: Mapping[str, int],
) -> dict[str, Any]:
    """Count dropped events of one series of ids.

    Args:
        found: the counts by series, as a drops file has them; they are changed.
        prefix: the series.
        batch_id: its batch.
        last: the highest number dropped.
        reasons: how many were dropped, by reason.

    Returns:
        The counts of the series.
    """
    entry = found.setdefault(prefix, {"batch": batch_id, "last": -1, "reasons": {}})
    entry["last"] = max(entry["last"], last)
    for reason, count in reasons.items():
        entry["reasons"][reason] = entry["reasons"].get(reason, 0) + count
    return entry


def read_drops(path: str) -> dict[str, dict[str, Any]]:
    """The content of a drops file by series of ids; empty where the file is missing, empty or
    damaged."""
    try:
        series = unseal(read_whole(path) or b"{}")
        CountsByBatch().add_drops(series)  # raises where it is none
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return series
