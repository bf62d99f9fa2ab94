"""The counts of delivered and removed segments, in one file for each batch of an outbox."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from argus_tasks.base.files import read_whole, write_bytes_whole
from argus_tasks.base.ids import slug
from argus_tasks.base.locks import locked
from argus_tasks.delivery.batch_counts import Counts
from argus_tasks.delivery.checked_json import seal, unseal

LOCK = "books.lock"
_FOLDED_KEPT = 64


def add_once(folder: Path, batch_id: str, name: str, counts: Counts) -> None:
    """Add the counts of a segment or chain to its batch; a second call for it does nothing.

    Errors: OSError, TimeoutError.
    """
    with locked(os.fspath(folder / LOCK)):
        path = totals_file(folder, batch_id)
        totals = read_totals(path)
        folded = list(totals.get("folded", []))
        if name in folded:
            return
        add_to_totals(path, batch_id, counts, [*folded, name])


def add_to_totals(
    path: Path, batch_id: str, counts: Counts, folded: list[str] | None = None
) -> None:
    """Add counts to the totals of a batch; the caller holds the lock. Errors: OSError."""
    totals = read_totals(path)
    total = Counts.from_json(totals.get("counts", {}))
    total.add(counts)
    names = totals.get("folded", []) if folded is None else folded
    totals |= {"batch_id": batch_id, "counts": total.to_json(), "folded": names[-_FOLDED_KEPT:]}
    write_bytes_whole(path, seal(totals))


def totals_file(folder: Path, batch_id: str) -> Path:
    """The file with the totals of a batch."""
    digest = hashlib.sha256(batch_id.encode()).hexdigest()[:8]
    return folder / "batches" / f"{slug(batch_id, 60)}-{digest}.json"


def read_totals(path: Path) -> dict[str, Any]:
    """The content of a totals file; empty where it is missing or damaged. Then events of the batch
    are counted as missing."""
    try:
        totals = unseal(read_whole(path))
        Counts.from_json(totals.get("counts", {}))  # raises where they are none
        str(totals["batch_id"])
        return totals if isinstance(totals.get("folded", []), list) else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def all_totals(folder: Path) -> list[dict[str, Any]]:
    """The totals of all batches, the oldest file first."""
    paths = sorted((folder / "batches").glob("*.json"), key=_age)
    return [totals for path in paths if (totals := read_totals(path))]


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0
