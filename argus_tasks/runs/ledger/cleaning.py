"""Deleting run folders: which ones, and in a way that a crash leaves none half deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from argus_tasks.base.clock import utc_now
from argus_tasks.base.files import append_line, read_mapping
from argus_tasks.provenance.acceptance import FILE_NAME, Acceptances
from argus_tasks.provenance.freezing import FROZEN
from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.runs.ledger.catalogue import KnownRun, known_runs
from argus_tasks.runs.ledger.claims import read_claims, seems_dead
from argus_tasks.runs.ledger.sweep_folder import REMOVED, batches, checked_line, is_gone
from argus_tasks.runs.record.layout import (
    LEDGER_JSONL,
    METRICS_JSON,
    RUNNING,
    SWEEP_FOLDER,
    is_plain,
)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to delete: those that match all conditions.

    Attributes:
        statuses: failed, skipped, succeeded or running; empty for any.
        older_than: the run ended at least this long ago.
        metric: a name in `metrics.json`, for `above` and `below`.
        above: the metric is greater.
        below: the metric is less.
    """

    statuses: Collection[str] = ()
    older_than: timedelta | None = None
    metric: str | None = None
    above: float | None = None
    below: float | None = None

    def matches(self, run: KnownRun, now: datetime) -> bool:
        """Whether a run that has ended matches."""
        if self.statuses and run.status not in self.statuses:
            return False
        if self.older_than is not None and not _ended_before(run, now - self.older_than):
            return False
        if self.metric is None:
            return True
        value = _metric(run, self.metric)
        return (
            value is not None
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def removable(results_root: Path, wanted: RunFilter) -> list[KnownRun]:
    """The runs that match and are neither running nor claimed by a process that may be alive."""
    held = [claim for claim in read_claims(results_root) if not seems_dead(claim)]
    digests, run_ids = {claim.digest for claim in held}, {claim.run_id for claim in held}
    now = utc_now()
    return [
        run
        for run in known_runs(results_root)
        if not _lives(results_root, run)
        and run.digest not in digests
        and run.run_id not in run_ids
        and wanted.matches(run, now)
    ]


def size_of(run: KnownRun) -> int:
    """The size of the run's files, in bytes."""
    total = 0
    for folder, _, names in os.walk(run.run_dir):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_size
    return total


def remove(results_root: Path, run: KnownRun) -> None:
    """Delete a run: move its folder out of the results root, record it in the ledger, delete it.

    Errors: OSError.
    """
    away = results_root / SWEEP_FOLDER / "removing"
    away.mkdir(parents=True, exist_ok=True)
    batch_id = run.record.get("batch_id")
    ledger = results_root / SWEEP_FOLDER / str(batch_id) / LEDGER_JSONL
    os.rename(run.run_dir, away / run.run_id)  # noqa: PTH104
    if is_plain(batch_id) and ledger.exists():
        at = utc_now().isoformat()
        facts = {"at": at, "digest": run.digest, "run_id": run.run_id, "event": REMOVED}
        append_line(ledger, checked_line({**facts, "status": run.status}))
    shutil.rmtree(away / run.run_id)
    with suppress(OSError):  # another process may be using it, too
        away.rmdir()


def unreferenced_code(
    results_root: Path, without: Collection[KnownRun], manifests: Iterable[str] = ()
) -> dict[Path, int]:
    """The files of stored code that no run refers to, and those of copies that dead sweeps ran
    from, with their sizes in bytes. None while a sweep is running, whose runs may just be storing
    theirs.

    Args:
        results_root: the results root.
        without: runs that count as deleted.
        manifests: names of lists that something else refers to, such as a baseline.
    """
    gone = {run.run_id for run in without}
    kept: set[str] = set(manifests)
    for folder in batches(results_root):
        if not all(folder.is_over(session) for session in folder.sessions()):
            return {}
    for run in known_runs(results_root):
        if run.run_id not in gone:
            names = (run.record.get("manifest"), *(run.record.get("earlier_manifests") or ()))
            kept.update(name for name in names if isinstance(name, str))
    accepted = Acceptances(results_root / SWEEP_FOLDER / FILE_NAME).all
    kept.update(each.after for each in accepted if each.after is not None)
    loose = ObjectStore(results_root / OBJECTS).unreferenced(kept)
    for path in (results_root / FROZEN).rglob("*"):  # of sessions that were killed
        if path.is_file():
            loose[path] = path.lstat().st_size
    return loose


def _lives(results_root: Path, run: KnownRun) -> bool:
    owner = run.record.get("owner")
    return run.status == RUNNING and (
        not isinstance(owner, dict)
        or not is_gone(results_root, str(run.record.get("batch_id")), owner)
    )


def _ended_before(run: KnownRun, moment: datetime) -> bool:
    said = run.record.get("finished_at") or run.record.get("started_at")
    try:
        return datetime.fromisoformat(str(said)) < moment
    except (ValueError, TypeError):
        return False


def _metric(run: KnownRun, name: str) -> float | None:
    value = read_mapping(f"{run.run_dir}/{METRICS_JSON}").get(name)
    return float(value) if isinstance(value, int | float) else None
