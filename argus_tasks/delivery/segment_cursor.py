"""How far the sender has read and delivered one segment, and the counts of its events."""

from __future__ import annotations

from dataclasses import dataclass

from argus_tasks.delivery.batch_counts import Counts, CountsByBatch
from argus_tasks.delivery.events import series_of
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.reader import Entry, SegmentReader, batch_of, torn_series
from argus_tasks.delivery.segment_places import chain_of


@dataclass(slots=True)
class SegmentEvent:
    """An entry that is being sent. `unordered`: the events it waits for have not been delivered."""

    cursor: SegmentCursor
    entry: Entry
    unordered: bool = False


class SegmentCursor:
    """One segment as the sender reads it. Errors: OSError where it cannot be opened."""

    def __init__(self, outbox: Outbox, segment: str) -> None:
        self.outbox = outbox
        self.segment = segment
        self.chain = chain_of(segment)
        self.offset, self.ledger = outbox.read_ack(segment)
        self.reader = SegmentReader(outbox.segment_path(segment), self.offset)
        if self.reader.bad_offset:
            # All of it is sent and counted again.
            self.offset, self.ledger = 0, CountsByBatch()
        self.series = self.ledger.batch_of_series()
        self.taken_final = False
        self.unordered = 0
        """How many entries were sent although the events they wait for had not been delivered."""

    def count(self, line: bytes, *, refused: bool) -> None:
        """Count an event that was accepted or refused. One without a readable id is not counted."""
        try:
            counts = counts_of(line, self.ledger, self.series)
        except ValueError:
            return
        counts.unordered, self.unordered = counts.unordered + self.unordered, 0
        if refused:
            counts.set_aside += 1
        else:
            counts.delivered += 1

    def count_torn(self, torn: bytes) -> None:
        """Count bytes that cannot be read."""
        count_torn(torn, self.ledger, self.series)


def counts_of(line: bytes, ledger: CountsByBatch, series: dict[str, str]) -> Counts:
    """The counts of an event's batch, with the event's id recorded in them.

    Args:
        line: the event.
        ledger: the counts by batch.
        series: the batch of each series of ids; the event's is added.

    Raises:
        ValueError: its id or its batch cannot be read.
    """
    prefix, number = series_of(line)
    if prefix not in series:
        series[prefix] = batch_of(line)
    counts = ledger.of(series[prefix])
    counts.saw(prefix, number)
    return counts


def count_torn(torn: bytes, ledger: CountsByBatch, series: dict[str, str]) -> None:
    """Count bytes that cannot be read: as one event of its batch where the id can be read, else as
    possible events of all batches of the segment."""
    found = torn_series(torn)
    if found and found[0] in series:
        counts = ledger.of(series[found[0]])
        counts.saw(*found)
        counts.drop("torn")
    else:
        ledger.add_unreadable(len(torn))
