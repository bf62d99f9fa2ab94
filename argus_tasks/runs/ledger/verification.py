"""Checks that the files of a results root agree and are unchanged, for `argus-tasks verify`.

Every ledger line has a checksum, and the last line of a run has the SHA-256 of its files. All of
them are computed again; nothing is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.runs.ledger.checked_files import CheckedFiles, Finding, VerifyResult
from argus_tasks.runs.ledger.claims import read_claims
from argus_tasks.runs.ledger.ledger_runs import LedgerRun
from argus_tasks.runs.ledger.monitor_journal import MONITOR_JSONL
from argus_tasks.runs.ledger.plan_check import PlanCheck
from argus_tasks.runs.ledger.sweep_folder import TORN, SweepFolder, batches, json_holds, line_holds
from argus_tasks.runs.record.hashes import hash_of
from argus_tasks.runs.record.layout import (
    FAILED,
    LEDGER_JSONL,
    PLAN_JSONL,
    RUN_JSON,
    RUN_LOG,
    STARTS_JSONL,
    SUCCEEDED,
    SWEEP_FOLDER,
    SWEEP_JSON,
    is_plain,
)

LOOKS = 6
PAUSE_S = 0.25


def verify(results_root: Path, batch_id: str | None = None) -> VerifyResult:
    """Check everything under a results root, or what belongs to one batch.

    While a sweep is running, each finding is checked again. It is reported only if it is still
    there and its run has no new line meanwhile; otherwise the sweep was just writing.
    """
    check = _Check(results_root, batch_id)
    check.everything()
    doubtful = check.doubtful(None)
    for _ in range(LOOKS):
        if not doubtful:
            break
        time.sleep(PAUSE_S)
        before, check = check, _Check(results_root, batch_id)
        check.everything()
        doubtful = check.doubtful(before)
    check.verdict.findings[:] = [one for one in check.verdict.findings if one not in doubtful]
    return check.verdict


class _Check:
    def __init__(self, root: Path, batch_id: str | None) -> None:
        self._root = root
        self._only = batch_id
        self._runs: dict[str, LedgerRun] = {}
        self._sessions: dict[str, list[dict[str, Any]]] = {}
        self._statuses: dict[str, str] = {}
        self._live_sessions: set[str] = set()
        self._closed_sessions: set[str] = set()
        self.verdict = VerifyResult()
        self._files = CheckedFiles(self.verdict)

    def everything(self) -> None:
        """Read the ledgers, then compare the run folders and plans with them."""
        folders = list(self._batch_folders())
        for folder in folders:
            self._read_batch(folder)
        for run_id, run in self._runs.items():
            for batch, sentence in run.wrong_attempts(run_id, self._closed_sessions):
                self._files.find(self._ledger_of(batch), sentence)
        for run_id in self._run_ids():
            self._check_run(run_id)
        self._check_once()
        plans = PlanCheck(self._files, self._runs, self._statuses, self._live_sessions)
        for folder in folders:
            if self._only in (None, folder.batch_id):
                sessions = self._sessions[folder.batch_id]
                self.verdict.outcomes[folder.batch_id] = plans.check(folder, sessions)
        self._check_shared()

    def doubtful(self, before: _Check | None) -> list[Finding]:
        """Findings that a running sweep may have caused: not found before, or with new lines of
        their run since."""
        now = {folder.batch_id: folder.sessions() for folder in batches(self._root)}
        if not self._live_sessions and now == self._sessions:
            return []
        if before is None:
            return list(self.verdict.findings)
        found = set(before.verdict.findings)
        return [
            one
            for one in self.verdict.findings
            if one not in found or self._last_of(one) != before._last_of(one)
        ]

    def _last_of(self, finding: Finding) -> dict[str, Any] | None:
        """The last line about the run of a finding."""
        run_id = Path(finding.path).relative_to(self._root).parts[0]
        run = self._runs.get(run_id)
        return run.last if run is not None else None

    def _batch_folders(self) -> Iterator[SweepFolder]:
        """Every batch, for a batch may reuse runs that are in another batch's ledger."""
        found = {folder.batch_id: folder for folder in batches(self._root)}
        base = self._root / SWEEP_FOLDER
        for path in sorted(base.glob(f"*/{LEDGER_JSONL}")):
            if path.parent.name not in found:
                self._files.find(path.parent / SWEEP_JSON, "is missing, but its ledger is there")
                found[path.parent.name] = SweepFolder(self._root, path.parent.name)
        yield from found.values()

    def _read_batch(self, folder: SweepFolder) -> None:
        self._check_sweep_json(folder)
        for name in (PLAN_JSONL, MONITOR_JSONL):
            for _ in self._files.lines(folder.path / name):
                pass
        self._sessions[folder.batch_id] = folder.sessions()
        for session in self._sessions[folder.batch_id]:
            self._check_environment(folder, session)
            if session.get("closed_at"):
                self._closed_sessions.add(str(session.get("id")))
            elif not folder.is_over(session):
                self._live_sessions.add(str(session.get("id")))
        for fact in self._files.lines(folder.path / LEDGER_JSONL):
            self._take_in(folder, fact)

    def _check_sweep_json(self, folder: SweepFolder) -> None:
        path = folder.path / SWEEP_JSON
        text = self._files.text(path)
        if text is None:
            return
        self.verdict.files += 1
        if not json_holds(text):
            self._files.find(path, "its checksum is wrong: it was changed, or damaged")

    def _check_environment(self, folder: SweepFolder, session: Mapping[str, Any]) -> None:
        """Check the files of the session's environment snapshot."""
        environment = session.get("environment")
        if not isinstance(environment, Mapping):
            return
        for name, said in dict(environment.get("files") or {}).items():
            self._compare(folder.path / str(environment.get("folder")) / str(name), said)

    def _take_in(self, folder: SweepFolder, fact: Mapping[str, Any]) -> None:
        if fact.get("event") == TORN:
            return
        run_id = str(fact.get("run_id"))
        if not is_plain(run_id):
            self._files.find(folder.path / LEDGER_JSONL, f"{run_id!r} is no run's id")
            return
        run = self._runs.setdefault(run_id, LedgerRun(fact.get("digest")))
        wrong = run.add_line(folder.batch_id, fact)
        if wrong is not None:
            self._files.find(folder.path / LEDGER_JSONL, wrong)

    def _run_ids(self) -> list[str]:
        """The ids of all run folders, and of all runs in a ledger."""
        there = {
            entry.name
            for entry in os.scandir(self._root)
            if entry.name[0] != "."
            and entry.is_dir(follow_symlinks=False)
            and Path(entry.path, RUN_JSON).exists()
        }
        return sorted(there | set(self._runs))

    def _check_run(self, run_id: str) -> None:
        run, folder = self._runs.get(run_id), self._root / run_id
        if run is None:
            self.verdict.unchecked += 1
            self._check_unknown(folder)
            return
        if self._only is not None and all(one.batch_id != self._only for one in run.attempts):
            return
        if run.removed:
            return
        self.verdict.runs += 1
        if folder.is_symlink():
            self._files.find(folder, "is a link, which is not followed")
            return
        if not folder.is_dir():
            # A run without files failed before its folder could be made: disk full, no permission.
            if run.over and (run.last.get("files") or run.last.get("status") != FAILED):
                self._files.find(folder, "its folder is missing, and no ledger line deletes it")
            return
        record = self._record(folder)
        if record is not None:
            self._statuses[run_id] = str(record.get("status"))
        if not run.over:
            self._check_unknown(folder)
            return
        if record is not None:
            self._check_record(folder, run, record)
        self._check_files(folder, run)

    def _check_record(self, folder: Path, run: LedgerRun, record: Mapping[str, Any]) -> None:
        last = run.last
        for key in ("status", "attempt", "cause"):
            if record.get(key) != last.get(key):
                self._files.find(
                    folder / RUN_JSON,
                    f"its {key} is {record.get(key)!r}; the ledger says {last.get(key)!r}",
                )
        if record.get("run_id") != folder.name:
            self._files.find(folder / RUN_JSON, f"its run_id is {record.get('run_id')!r}")

    def _check_files(self, folder: Path, run: LedgerRun) -> None:
        files = run.last.get("files")
        if not isinstance(files, Mapping):
            self.verdict.unchecked += 1
            self._check_unknown(folder)
            return
        for name, said in files.items():
            path = folder / str(name)
            size = None
            if name == RUN_LOG and isinstance(said, list) and len(said) == 2:
                said, size = said
            self._compare(path, said, size)

    def _compare(self, path: Path, said: object, size: int | None = None) -> None:
        try:
            found, _ = hash_of(str(path), size)
        except FileNotFoundError:
            self._files.find(path, "is missing")
            return
        except OSError as error:
            self._files.find(path, f"cannot be read: {error.strerror}")
            return
        self.verdict.files += 1
        if found != said:
            self._files.find(path, "has changed since its run ended")

    def _check_unknown(self, folder: Path) -> None:
        """Files without a checksum in a ledger must at least be complete JSON."""
        for path in sorted(folder.glob("*.json")):
            self._files.json(path)

    def _record(self, folder: Path) -> dict[str, Any] | None:
        value = self._files.json(folder / RUN_JSON)
        return value if isinstance(value, dict) else None

    def _check_once(self) -> None:
        """A config has one success in a batch, unless a later run names the earlier one."""
        by_config: dict[tuple[str, str], list[str]] = {}
        for run_id, run in self._runs.items():
            if run.digest and run.attempts and self._statuses.get(run_id) == SUCCEEDED:
                by_config.setdefault((run.attempts[0].batch_id, run.digest), []).append(run_id)
        for (batch_id, digest), run_ids in by_config.items():
            if len(run_ids) < 2 or self._only not in (None, batch_id):
                continue
            parents = {self._parent(run_id) for run_id in run_ids}
            loose = [run_id for run_id in run_ids if run_id not in parents]
            if len(loose) > 1:
                self._files.find(
                    self._ledger_of(batch_id),
                    f"config {digest[:12]} has succeeded {len(loose)} times: {', '.join(loose)}",
                )

    def _parent(self, run_id: str) -> str | None:
        record = self._record(self._root / run_id) or {}
        parent = record.get("parent_run_id")
        return parent if isinstance(parent, str) else None

    def _check_shared(self) -> None:
        for _ in self._files.lines(self._root / SWEEP_FOLDER / STARTS_JSONL):
            pass
        for claim in read_claims(self._root):
            path = Path(claim.path)
            if not claim.claimant:
                self._files.find(path, "is not a readable claim")
            elif not line_holds(self._files.text(path) or ""):
                self._files.find(path, "its checksum is wrong: it was changed, or damaged")
        for path in ObjectStore(self._root / OBJECTS).damaged():
            self._files.find(path, "is not what its name says: it was changed, or damaged")

    def _ledger_of(self, batch_id: str) -> Path:
        return self._root / SWEEP_FOLDER / batch_id / LEDGER_JSONL
