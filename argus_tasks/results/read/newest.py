"""Chooses the runs that count: the newest run of each config."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argus_tasks.base.ids import canonical_json
from argus_tasks.results.read.rows import Row


def newest_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows that count, the oldest first.

    Of runs with the same digest (without a digest: the same config) the newest counts. A run is
    newer than the run that it names as its parent, whatever the clock said. Within one batch, runs
    with different job ids and equal configs all count, unless one names the other as its parent. A
    run without a digest, made by another tool, counts until a run of argus-tasks has its config.
    """
    by_age = sorted(rows, key=_age)
    theirs = {id(row): canonical_json(row.config) for row in by_age if not row.digest}
    ours = {canonical_json(row.config) for row in by_age if theirs and row.digest}
    by_config: dict[str, list[Row]] = {}
    for row in by_age:
        if row.digest or theirs[id(row)] not in ours:
            by_config.setdefault(row.digest or theirs[id(row)], []).append(row)
    kept = [row for tries in by_config.values() for row in _that_count(tries)]
    return sorted(kept, key=_age)


def _that_count(tries: Sequence[Row]) -> Iterable[Row]:
    """Of runs with one digest, oldest first."""
    if len(tries) == 1:
        return tries
    parents = {row.parent_run_id for row in tries}
    batch_id = max(tries, key=lambda row: (row.run_id not in parents, _age(row))).batch_id
    jobs = {
        row.job_id: row for row in tries if row.batch_id == batch_id and row.run_id not in parents
    }
    return jobs.values()


def _age(row: Row) -> tuple[str, str]:
    return (row.started_at or "", row.run_id)
