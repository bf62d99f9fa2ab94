"""The runs under a results root: each run folder's record, and the newest run of each digest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.runs.record.layout import is_plain
from argus_tasks.runs.record.run_record import record_of


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run folder's record, read from `run.json`."""

    run_id: str
    run_dir: str
    status: str
    digest: str | None
    attempt: int
    resumable: bool
    record: dict[str, Any]


def known_run(results_root: Path, run_id: str) -> KnownRun | None:
    """The run with this id; None where its record cannot be read, its folder is a symbolic link, or
    the id is a path."""
    folder = f"{results_root}/{run_id}"
    if not is_plain(run_id) or os.path.islink(folder):  # noqa: PTH114
        return None
    return _read(run_id, folder)


def _read(run_id: str, folder: str) -> KnownRun | None:
    record = record_of(folder)
    if record is None:
        return None
    attempt = record.get("attempt")
    return KnownRun(
        run_id,
        folder,
        str(record.get("status")),
        record.get("digest"),
        attempt if isinstance(attempt, int) else 1,
        record.get("resumable") is True,
        record,
    )


def known_runs(results_root: Path) -> Iterator[KnownRun]:
    """Every run under the root, oldest name first; without folders that have no readable record,
    and without symbolic links."""
    try:
        with os.scandir(results_root) as found:
            names = sorted(one.name for one in found if one.name[0] != "." and not one.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        run = _read(name, f"{results_root}/{name}")
        if run is not None:
            yield run


def runs_by_digest(results_root: Path) -> dict[str, list[KnownRun]]:
    """All runs of each digest: those that succeeded first, and among them the newest first.

    A run is newer than the one of the same digest that it names as its parent, whatever the clock
    said when they were made.
    """
    runs = [run for run in known_runs(results_root) if run.digest is not None]
    parents = {(run.digest, run.record.get("parent_run_id")) for run in runs}
    found: dict[str, list[KnownRun]] = {}
    for run in runs:
        found.setdefault(str(run.digest), []).append(run)
    for several in found.values():
        if len(several) > 1:
            several.sort(
                key=lambda run: _rank(run, followed=(run.digest, run.run_id) in parents),
                reverse=True,
            )
    return found


def newest_by_digest(results_root: Path) -> dict[str, KnownRun]:
    """For each digest the run that counts: one that succeeded, else the newest one."""
    return {digest: several[0] for digest, several in runs_by_digest(results_root).items()}


def _rank(run: KnownRun, *, followed: bool) -> tuple[bool, bool, str, str]:
    """Run ids order runs by the second in which they were made; within one, their start does."""
    second = run.run_id.rpartition("_")[0]
    return run.status == "succeeded", not followed, second, str(run.record.get("started_at"))
