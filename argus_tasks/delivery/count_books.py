"""Counts by batch that outlive an outbox's segments; one file a batch."""

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


def fold_into(folder: Path, batch_id: str, name: str, counts: Counts) -> None:
    """Add what a segment, or a chain, had counted; a second time counts nothing.

    Errors: OSError, TimeoutError.
    """
    with locked(os.fspath(folder / LOCK)):
        path = book_of(folder, batch_id)
        book = read_book(path)
        folded = list(book.get("folded", []))
        if name in folded:
            return
        add_to_book(path, batch_id, counts, [*folded, name])


def add_to_book(path: Path, batch_id: str, counts: Counts, folded: list[str] | None = None) -> None:
    """Add counts to a batch's book; the caller holds the lock. Errors: OSError."""
    book = read_book(path)
    total = Counts.from_json(book.get("counts", {}))
    total.add(counts)
    names = book.get("folded", []) if folded is None else folded
    book |= {"batch_id": batch_id, "counts": total.to_json(), "folded": names[-_FOLDED_KEPT:]}
    write_bytes_whole(path, seal(book))


def book_of(folder: Path, batch_id: str) -> Path:
    """The file of a batch."""
    digest = hashlib.sha256(batch_id.encode()).hexdigest()[:8]
    return folder / "batches" / f"{slug(batch_id, 60)}-{digest}.json"


def read_book(path: Path) -> dict[str, Any]:
    """What a batch's file holds; nothing where it is missing or damaged: then the sum of the
    batch's account does not meet."""
    try:
        book = unseal(read_whole(path))
        Counts.from_json(book.get("counts", {}))  # raises where they are none
        str(book["batch_id"])
        return book if isinstance(book.get("folded", []), list) else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def books(folder: Path) -> list[dict[str, Any]]:
    """The books of all batches, oldest first."""
    paths = sorted((folder / "batches").glob("*.json"), key=_age)
    return [book for path in paths if (book := read_book(path))]


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0
