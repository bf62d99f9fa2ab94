"""Reads the runs of a results root that count."""

from __future__ import annotations

import os
from pathlib import Path

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.results.read.newest import newest_rows
from argus_tasks.results.read.rows import Rows, load_rows


def load_batch(root: str | os.PathLike[str], batch_id: str | None = None) -> tuple[Rows, int]:
    """The runs under the root that count (of one batch, if one is given), and how many older runs
    of the same configs do not.

    Errors: BadInput where there is no such folder, no run in it, or no run of that batch.
    """
    loaded = load_rows(root)
    rows = loaded.rows
    if not rows and not loaded.odd:
        if (Path(root) / "run.json").is_file():
            raise BadInput(
                f"{os.fspath(root)!r} is a run folder; expected the results"
                " root, the folder above it."
            )
        raise BadInput(f"there are no runs in {os.fspath(root)!r}.")
    if batch_id is not None:
        rows = tuple(row for row in rows if row.batch_id == batch_id)
        if not rows:
            known = dict.fromkeys(row.batch_id for row in loaded.rows if row.batch_id)
            raise BadInput(
                f"no run in {os.fspath(root)!r} is of the batch {batch_id!r}; there are "
                f"{', '.join(known) or 'none'}.{did_you_mean(batch_id, known)}"
            )
    newest = newest_rows(rows)
    return Rows(tuple(newest), loaded.odd), len(rows) - len(newest)
