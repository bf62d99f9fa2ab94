"""The sides of a comparison: the runs of a batch, a baseline or a results root that count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.ids import canonical_json
from argus_tasks.results.read.newest import newest_rows
from argus_tasks.results.read.rows import Row, codes_of, load_rows
from argus_tasks.results.tables.leaderboard import SEED
from argus_tasks.results.tables.table import plural
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, batches

DATA_VERSIONS = ("dataset_version", "data_version")


@dataclass(frozen=True, slots=True)
class Side:
    """Runs to compare.

    Attributes:
        label: the text by which it was chosen.
        batch_id: the batch; None for a folder's runs.
        name: the sweep's name, where it is known.
        experiment: the experiment's import path, where it is known.
        created_at: when the batch was made, ISO 8601 UTC.
        rows: the run that counts of each config.
        ignore_keys: the sweep's `ignore_keys`: top-level config keys that make no difference.
    """

    label: str
    batch_id: str | None
    name: str | None
    experiment: str | None
    created_at: str | None
    rows: tuple[Row, ...]
    ignore_keys: tuple[str, ...] = ()

    def cells(self, ignore: Collection[str]) -> dict[str, list[Row]]:
        """The runs by cell. Runs of a cell differ only in seed, data version and the keys in
        `ignore`, which are those of both sides in a comparison."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(canonical_json(cell_config(row.config, ignore)), []).append(row)
        return found

    def only(self, keys: Collection[str], ignore: Collection[str]) -> Side:
        """This side with only the cells of these keys; `ignore` as for `cells`."""
        cells = self.cells(ignore)
        return replace(self, rows=tuple(row for key in cells if key in keys for row in cells[key]))


def cell_config(config: dict[str, Any], ignore: Collection[str]) -> dict[str, Any]:
    """The config without seed, data version and ignored keys: equal for all repeats of a cell."""
    return {
        key: config[key]
        for key in config
        if key != SEED and key not in DATA_VERSIONS and key not in ignore
    }


def batch_side(root: Path, batch_id: str, rows: tuple[Row, ...] | None = None) -> Side:
    """The runs of a batch: its own, and those of earlier batches that it has reused.

    `rows`: the runs under the root, if they have been read already. Errors: BadInput where there is
    no such batch.
    """
    folder = SweepFolder(root, batch_id)
    state = folder.state()
    every = rows if rows is not None else load_rows(root).rows
    own = [row for row in every if row.batch_id == batch_id]
    if state is None and not own:
        known = _batch_ids(root, every)
        raise BadInput(
            f"there is no batch {batch_id!r} under {root}; there are"
            f" {', '.join(known) or 'none'}.{did_you_mean(batch_id, known)}"
        )
    state = state or {}
    counted = newest_rows(own)
    return Side(
        label=batch_id,
        batch_id=batch_id,
        name=state.get("name"),
        experiment=state.get("experiment"),
        created_at=state.get("created_at") or min(row.started_at or "" for row in counted),
        rows=(*_reused(folder, state, counted, every), *counted),
        ignore_keys=_ignored(state),
    )


def folder_side(folder: Path, label: str) -> Side:
    """The runs of a results root that count. Errors: BadInput where there is no such folder."""
    rows = newest_rows(load_rows(folder).rows)
    if not rows:
        raise BadInput(f"there are no runs in {str(folder)!r}.")
    states = [state for found in batches(folder) if (state := found.state())]
    experiments = {state.get("experiment") for state in states}
    return Side(
        label=label,
        batch_id=None,
        name=None,
        experiment=experiments.pop() if len(experiments) == 1 else None,
        created_at=rows[-1].started_at,
        rows=tuple(rows),
        ignore_keys=tuple(dict.fromkeys(key for state in states for key in _ignored(state))),
    )


def _ignored(state: dict[str, Any]) -> tuple[str, ...]:
    """The keys that the batch's last session left out of its configs' identity."""
    recipe = (state.get("sessions") or [{}])[-1].get("recipe") or {}
    return tuple(recipe.get("ignore_keys") or ())


def _reused(
    folder: SweepFolder, state: dict[str, Any], own: list[Row], every: tuple[Row, ...]
) -> list[Row]:
    """For each config of the plan without a run in this batch: the succeeded run that was
    reused."""
    missing = {line.get("digest") for line in folder.plan()} - {row.digest for row in own} - {None}
    if not missing:
        return []
    last = max((str(entry.get("opened_at")) for entry in state.get("sessions", [])), default="")
    taken: dict[str, Row] = {}
    for row in every:
        if row.digest in missing and row.status == "succeeded" and (row.started_at or "") <= last:
            taken[str(row.digest)] = row
    return list(taken.values())


def _batch_ids(root: Path, rows: tuple[Row, ...]) -> list[str]:
    known = [folder.batch_id for folder in batches(root)]
    return list(dict.fromkeys([*known, *(row.batch_id for row in rows if row.batch_id)]))


def side_text(side: Side) -> str:
    """What a side is: label, date, number of runs, code."""
    parts = [side.label]
    if side.batch_id and side.batch_id != side.label:
        parts.append(f"batch {side.batch_id}")
    if side.created_at:
        parts.append(minute_text(side.created_at))
    parts.append(plural(len(side.rows), "run"))
    codes = codes_of(side.rows)
    if codes:
        parts.append(f"code {', '.join(codes)}")
    return ", ".join(parts)


def minute_text(moment: str | None) -> str:
    """`2026-01-31 08:05` of a time in ISO 8601; empty where there is none."""
    return (moment or "")[:16].replace("T", " ")
