"""Counts of a batch's events: emitted = delivered + waiting + set aside + dropped.

The number of emitted events is read from the numbered ids of the events, not added up from the
other counts. So a difference between the two sides shows that events are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SHORTEST_EVENT = 150


@dataclass
class Counts:
    """The events of one batch that one file accounts for."""

    delivered: int = 0
    set_aside: int = 0
    waiting: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    interrupted: int = 0
    """Calls that an exception ended: each may have used up a number without writing an event."""
    unreadable: int = 0
    """The most events that a part of the disk can have held that can no longer be read."""
    unordered: int = 0
    """Events that were sent although the events they wait for had not been delivered."""
    series: dict[str, int] = field(default_factory=dict)
    """The highest number seen in each series of ids."""

    def saw(self, prefix: str, number: int) -> None:
        """Record the id of an event, delivered or not."""
        if number > self.series.get(prefix, -1):
            self.series[prefix] = number

    def drop(self, reason: str, count: int = 1) -> None:
        """Count events that will never be delivered."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def add(self, other: Counts) -> None:
        """Add the counts of another file."""
        self.delivered += other.delivered
        self.set_aside += other.set_aside
        self.waiting += other.waiting
        self.interrupted += other.interrupted
        self.unreadable += other.unreadable
        self.unordered += other.unordered
        for reason, count in other.dropped.items():
            self.drop(reason, count)
        for prefix, number in other.series.items():
            self.saw(prefix, number)

    def to_json(self) -> dict[str, Any]:
        """As kept in files."""
        return {
            "delivered": self.delivered,
            "set_aside": self.set_aside,
            "dropped": self.dropped,
            "interrupted": self.interrupted,
            "unreadable": self.unreadable,
            "unordered": self.unordered,
            "series": self.series,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Counts:
        """The inverse of `to_json`. Errors: ValueError, TypeError, AttributeError."""
        return cls(
            int(value.get("delivered", 0)),
            int(value.get("set_aside", 0)),
            0,
            {str(reason): int(count) for reason, count in value.get("dropped", {}).items()},
            int(value.get("interrupted", 0)),
            int(value.get("unreadable", 0)),
            int(value.get("unordered", 0)),
            {str(prefix): int(number) for prefix, number in value.get("series", {}).items()},
        )


@dataclass(frozen=True)
class BatchCounts:
    """The total counts of one batch."""

    batch_id: str
    emitted: int
    delivered: int
    waiting: int
    set_aside: int
    dropped: dict[str, int]
    unordered: int = 0

    @property
    def missing(self) -> int:
        """How many events no file accounts for; 0 where all are accounted for."""
        known = self.delivered + self.waiting + self.set_aside + sum(self.dropped.values())
        return self.emitted - known

    @classmethod
    def of(cls, batch_id: str, counts: Counts) -> BatchCounts:
        """The totals of a batch, from the sum of the counts of all files."""
        emitted = sum(number + 1 for number in counts.series.values())
        dropped = dict(counts.dropped)
        known = (counts.delivered, counts.waiting, counts.set_aside)
        account = cls(batch_id, emitted, *known, dropped, counts.unordered)
        for reason in ("interrupted", "unreadable"):
            at_most = getattr(counts, reason)
            if account.missing > 0 and at_most:
                dropped[reason] = dropped.get(reason, 0) + min(account.missing, at_most)
        return account


class CountsByBatch:
    """Counts of several batches, by batch id."""

    def __init__(self) -> None:
        self.batches: dict[str, Counts] = {}

    def of(self, batch_id: str) -> Counts:
        """The counts of a batch, zero where there were none."""
        counts = self.batches.get(batch_id)
        if counts is None:
            counts = self.batches[batch_id] = Counts()
        return counts

    def batch_of_series(self) -> dict[str, str]:
        """The batch id of each series of ids."""
        return {
            prefix: batch_id
            for batch_id, counts in self.batches.items()
            for prefix in counts.series
        }

    def add(self, other: CountsByBatch) -> None:
        """Add the counts of another file."""
        for batch_id, counts in other.batches.items():
            self.of(batch_id).add(counts)

    def add_unreadable(self, size: int) -> None:
        """Count `size` bytes that cannot be read: events of any of these batches."""
        for counts in self.batches.values():
            counts.unreadable += size // _SHORTEST_EVENT + 1

    def add_drops(self, series: Mapping[str, Mapping[str, Any]]) -> None:
        """Add the content of a drops file. Errors: ValueError, TypeError, AttributeError."""
        for prefix, entry in series.items():
            counts = self.of(str(entry.get("batch")))
            counts.saw(prefix, int(entry.get("last", -1)))
            counts.interrupted += int(entry.get("interrupted", 0))
            for reason, count in dict(entry.get("reasons", {})).items():
                counts.drop(reason, int(count))

    def to_json(self) -> dict[str, Any]:
        """As kept in files."""
        return {batch_id: counts.to_json() for batch_id, counts in self.batches.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CountsByBatch:
        """The inverse of `to_json`."""
        ledger = cls()
        for batch_id, counts in value.items():
            ledger.batches[batch_id] = Counts.from_json(counts)
        return ledger
