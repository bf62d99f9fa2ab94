"""The event counts of an outbox, by batch: from its totals, segments and drops files."""

from __future__ import annotations

import os

from argus_tasks.delivery.batch_counts import BatchCounts, Counts, CountsByBatch
from argus_tasks.delivery.batch_totals import all_totals
from argus_tasks.delivery.chain_files import DROPS_ENDING
from argus_tasks.delivery.drops import read_drops
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.reader import Entry
from argus_tasks.delivery.segment_cursor import SegmentCursor, count_torn, counts_of


def accounts(outbox: Outbox) -> list[BatchCounts]:
    """The counts of all batches, the oldest first as far as that is known."""
    return [
        BatchCounts.of(batch_id, counts) for batch_id, counts in _ledger(outbox).batches.items()
    ]


def account(outbox: Outbox, batch_id: str) -> BatchCounts:
    """The counts of one batch; all zero where the outbox does not have it."""
    return BatchCounts.of(batch_id, _ledger(outbox).of(batch_id))


def _ledger(outbox: Outbox) -> CountsByBatch:
    ledger = CountsByBatch()
    folded: set[str] = set()
    for totals in all_totals(outbox.folder):
        folded |= set(totals.get("folded", []))
        ledger.of(str(totals["batch_id"])).add(Counts.from_json(totals["counts"]))
    series: dict[str, str] = {}
    for segment in outbox.segments():
        if segment not in folded:
            ledger.add(_of_segment(outbox, segment, series))
    for chain in outbox.chains() - folded:
        ledger.add_drops(read_drops(os.fspath(outbox.folder / f"{chain}{DROPS_ENDING}")))
    return ledger


def _of_segment(outbox: Outbox, segment: str, series: dict[str, str]) -> CountsByBatch:
    try:
        cursor = SegmentCursor(outbox, segment)
        series |= cursor.series
        for entry in cursor.reader.remaining():
            count_waiting(entry, cursor.ledger, series)
        torn = cursor.reader.torn_end()
        if torn and not outbox.is_live(cursor.chain):
            count_torn(torn, cursor.ledger, series)
    except OSError:
        return CountsByBatch()
    return cursor.ledger


def count_waiting(entry: Entry, ledger: CountsByBatch, series: dict[str, str]) -> None:
    """Count an entry as waiting; where it cannot be read or was evicted, as dropped."""
    if entry.torn:
        count_torn(entry.torn, ledger, series)
    if entry.line:
        try:
            counts_of(entry.line, ledger, series).waiting += 1
        except ValueError:
            count_torn(entry.line, ledger, series)
    ledger.add_drops(entry.dropped)
