"""Repeats: the runs of a batch that differ only in their seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from argus_tasks.base.ids import canonical_json
from argus_tasks.results.read.newest import newest_rows
from argus_tasks.results.read.rows import Row

SEED = "seed"


def repeats_of_several_codes(rows: Iterable[Row]) -> dict[str, str]:
    """The configs, as JSON without the seed, whose succeeded runs in one batch were made by several
    versions of the code: which ones, and by how many runs each."""
    found: dict[tuple[str | None, str | None, str], Counter[str]] = {}
    for row in newest_rows([row for row in rows if row.status == "succeeded"]):
        config = canonical_json({k: v for k, v in row.config.items() if k != SEED})
        codes = found.setdefault((row.batch_id, row.experiment, config), Counter())
        codes[row.code or "unknown"] += 1
    return {
        f"{config} in {batch}": ", ".join(f"{count} by {code}" for code, count in codes.items())
        for (batch, _, config), codes in found.items()
        if len(codes) > 1
    }
