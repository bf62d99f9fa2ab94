"""Whether the files of a results root tell one true story: `argus-tasks verify`.

Ledgers are the thread: every line has a checksum, and the last line of a run the SHA-256 of its
files. Here all of it is computed again; nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.runs.checked_files import CheckedFiles, Verdict
from argus_tasks.runs.claims import standing_claims
from argus_tasks.runs.hashes import hash_of
from argus_tasks.runs.layout import (
    FAILED,
    LEDGER_JSONL,
    PLAN_JSONL,
    RUN_JSON,
    RUN_LOG,
    RUNNING,
    SKIPPED,
    STARTS_JSONL,
    SUCCEEDED,
    SWEEP_FOLDER,
    SWEEP_JSON,
    is_plain,
)
from argus_tasks.runs.ledger import REMOVED, TORN, SweepFolder, batches, json_holds, line_holds
from argus_tasks.runs.told import MONITOR_JSONL
from argus_tasks.runs.trial_lines import TrialLines


@dataclass(slots=True)
class _Attempt:
    number: int
    batch_id: str
    session: str
    began: str
    ended: str | None = None


@dataclass(slots=True)
class _Run:
    """What the ledgers say of a run."""

    digest: str | None
    attempts: list[_Attempt] = field(default_factory=list)
    ends: dict[int, str] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    rank: tuple[int, bool] = (0, False)
    removed: bool = False

    @property
    def over(self) -> bool:
        return self.last.get("event") in ("ended", "closed")


def verify(results_root: Path, batch_id: str | None = None) -> Verdict:
    """Look at everything under a results root, or at what belongs to one batch."""
    check = _Check(results_root, batch_id)
    check.everything()
    return check.verdict


class _Check:
    def __init__(self, root: Path, batch_id: str | None) -> None:
        self._root = root
        self._only = batch_id
        self._runs: dict[str, _Run] = {}
        self._statuses: dict[str, str] = {}
        self._live_sessions: set[str] = set()
        self._closed_sessions: set[str] = set()
        self.verdict = Verdict()
        self._files = CheckedFiles(self.verdict)

    def everything(self) -> None:
        """Ledgers first: what they say is what the folders are held to."""
        folders = list(self._batch_folders())
        for folder in folders:
            self._read_batch(folder)
        for run_id, run in self._runs.items():
            self._check_attempts(run_id, run)
        for run_id in self._run_ids():
            self._check_run(run_id)
        self._check_once()
        for folder in folders:
            self._check_plan(folder)
        self._check_shared()

    def _batch_folders(self) -> Iterator[SweepFolder]:
        """Every batch: other batches' ledgers may know of runs that one batch reuses."""
        found = {folder.batch_id: folder for folder in batches(self._root)}
        base = self._root / SWEEP_FOLDER
        for path in sorted(base.glob(f"*/{LEDGER_JSONL}")):
            if path.parent.name not in found:
                self._files.find(path.parent / SWEEP_JSON, "is missing, and its ledger is there")
                found[path.parent.name] = SweepFolder(self._root, path.parent.name)
        yield from found.values()

    def _is_asked(self, batch_id: str) -> bool:
        return self._only in (None, batch_id)

    def _read_batch(self, folder: SweepFolder) -> None:
        self._check_sweep_json(folder)
        for name in (PLAN_JSONL, MONITOR_JSONL):
            for _ in self._files.lines(folder.path / name):
                pass
        for session in folder.sessions():
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
        """What the session was started with is as it was written."""
        environment = session.get("environment")
        if not isinstance(environment, Mapping):
            return
        for name, said in dict(environment.get("files") or {}).items():
            self._compare(folder.path / str(environment.get("folder")) / str(name), said)

    def _take_in(self, folder: SweepFolder, fact: Mapping[str, Any]) -> None:
        run_id, event = str(fact.get("run_id")), fact.get("event")
        if event == TORN:
            return
        if not is_plain(run_id):
            self._files.find(folder.path / LEDGER_JSONL, f"{run_id!r} is no run's id")
            return
        run = self._runs.setdefault(run_id, _Run(fact.get("digest")))
        if event == REMOVED:
            run.removed = True
            return
        number, session = int(fact.get("attempt") or 1), str(fact.get("session"))
        if event == "started":
            before = run.attempts[-1] if run.attempts else None
            if before is not None and before.ended is None and before.session == session:
                self._files.find(
                    folder.path / LEDGER_JSONL,
                    f"attempt {number} of {run_id} starts before attempt {before.number} has ended",
                )
            run.attempts.append(_Attempt(number, folder.batch_id, session, str(fact.get("at"))))
        elif event in ("ended", "closed"):  # closed: its folder only could be later
            for attempt in run.attempts:
                if attempt.number == number:
                    attempt.ended = str(fact.get("at"))
            run.ends[number] = str(fact.get("at"))
        else:
            self._files.find(folder.path / LEDGER_JSONL, f"a line of {run_id} says {event!r}")
            return
        # One that was taken over has lines in two ledgers: attempts say which is the last.
        rank = (number, event != "started")
        if rank >= run.rank:
            run.rank, run.last = rank, dict(fact)

    def _check_attempts(self, run_id: str, run: _Run) -> None:
        """Each attempt has its end, none is there twice in one session, and none beside another of
        another batch."""
        seen: set[tuple[str, int]] = set()
        run.attempts.sort(key=lambda attempt: attempt.number)
        for attempt in run.attempts:
            attempt.ended = attempt.ended or run.ends.get(attempt.number)
            taken_over = attempt.batch_id != run.attempts[-1].batch_id
            over = attempt.session in self._closed_sessions and not taken_over
            if attempt.ended is None and over:
                self._files.find(
                    self._ledger_of(attempt.batch_id),
                    f"attempt {attempt.number} of {run_id} has no end, though its session has",
                )
            key = (attempt.session, attempt.number)
            if key in seen:
                self._files.find(
                    self._ledger_of(attempt.batch_id),
                    f"attempt {attempt.number} of {run_id} was started twice",
                )
            seen.add(key)
        for first, second in zip(run.attempts, run.attempts[1:], strict=False):
            if first.batch_id == second.batch_id:
                continue
            if first.ended is not None and second.began < first.ended <= (second.ended or "~"):
                self._files.find(
                    self._root / run_id,
                    f"attempt {second.number} of {second.batch_id} began before attempt"
                    f" {first.number} of {first.batch_id} had ended",
                )

    def _run_ids(self) -> list[str]:
        """Every run folder, and every run that a ledger knows."""
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
            if run.over:
                self._files.find(folder, "its folder is gone, and nothing says who removed it")
            return
        record = self._record(folder)
        if record is None:
            return
        self._statuses[run_id] = str(record.get("status"))
        live = any(one.session in self._live_sessions for one in run.attempts[-1:])
        if not run.over:
            if live or record.get("status") != SUCCEEDED:
                self._check_unknown(folder)
            return
        self._check_last_word(folder, run, record)
        self._check_files(folder, run)

    def _check_last_word(self, folder: Path, run: _Run, record: Mapping[str, Any]) -> None:
        last = run.last
        for key in ("status", "attempt", "cause"):
            if record.get(key) != last.get(key):
                self._files.find(
                    folder / RUN_JSON,
                    f"its {key} is {record.get(key)!r}; the ledger says {last.get(key)!r}",
                )
        if record.get("run_id") != folder.name:
            self._files.find(folder / RUN_JSON, f"its run_id is {record.get('run_id')!r}")

    def _check_files(self, folder: Path, run: _Run) -> None:
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
            self._files.find(path, "is not what it was when it was written last")

    def _check_unknown(self, folder: Path) -> None:
        """Files that no ledger has a checksum of must at least be whole."""
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
            if len(run_ids) < 2 or not self._is_asked(batch_id):
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

    def _check_plan(self, folder: SweepFolder) -> None:
        """Each config of the plan has one outcome, or a reason why it has none."""
        if not self._is_asked(folder.batch_id):
            return
        by_digest: dict[str, list[str]] = {}
        for run_id, run in self._runs.items():
            if run.digest:
                by_digest.setdefault(run.digest, []).append(run_id)
        session = (folder.sessions() or [{}])[-1]
        counts: dict[str, int] = {}
        for line in folder.plan():
            digest = line.get("digest")
            if not digest:
                counts["not identified"] = counts.get("not identified", 0) + 1
                continue
            word = self._outcome(by_digest.get(digest, []))
            if word is None:
                word = _reason(session, live=session.get("id") in self._live_sessions)
            if word is None:
                self._files.find(
                    folder.path / PLAN_JSONL,
                    f"config {line.get('index')} ({line.get('job_id')}) has no outcome, and the"
                    f" session ended as '{session.get('how')}'",
                )
                word = "lost"
            counts[word] = counts.get(word, 0) + 1
        self._check_trials(folder, session, counts)
        self.verdict.outcomes[folder.batch_id] = counts

    def _check_trials(
        self, folder: SweepFolder, session: Mapping[str, Any], counts: dict[str, int]
    ) -> None:
        """A search's plan grows while it runs: it has every trial that was run, and all there are
        to be, or a reason why not."""
        searches = {each.get("id") for each in folder.sessions() if _trials_of(each)}
        ran = {
            str(run.digest): run_id
            for run_id, run in self._runs.items()
            if any(one.session in searches for one in run.attempts)
        }
        found = TrialLines(folder.plan())
        asked = _trials_of(session)
        if not asked:
            return
        for sentence in found.wrong(ran):
            self._files.find(folder.path / PLAN_JSONL, sentence)
        left = asked - found.count
        if left <= 0:
            return
        word = _reason(session, live=session.get("id") in self._live_sessions)
        if word is None:
            self._files.find(
                folder.path / PLAN_JSONL,
                f"{left} of {asked} trials are not there, and the session ended as"
                f" '{session.get('how')}'",
            )
        counts[word or "lost"] = counts.get(word or "lost", 0) + left

    def _outcome(self, run_ids: list[str]) -> str | None:
        """The word of a config's runs: of a success, else of the newest."""
        words = [self._word(run_id) for run_id in sorted(run_ids)]
        known = [word for word in words if word is not None]
        if SUCCEEDED in known:
            return SUCCEEDED
        return known[-1] if known else None

    def _word(self, run_id: str) -> str | None:
        run, status = self._runs[run_id], self._statuses.get(run_id)
        if run.removed:
            return "removed"
        if not run.over:
            if run.attempts and run.attempts[-1].session in self._live_sessions:
                return RUNNING
            return SUCCEEDED if status == SUCCEEDED else "cut off"
        said = str(run.last.get("status"))
        cause = str(run.last.get("cause") or "")
        if said == FAILED and cause.startswith("stopped by"):
            return "stopped"
        return said if said in (SUCCEEDED, SKIPPED, FAILED) else None

    def _check_shared(self) -> None:
        for _ in self._files.lines(self._root / SWEEP_FOLDER / STARTS_JSONL):
            pass
        for claim in standing_claims(self._root):
            path = Path(claim.path)
            if not claim.claimant:
                self._files.find(path, "is no claim that can be read")
            elif not line_holds(self._files.text(path) or ""):
                self._files.find(
                    Path(claim.path), "its checksum is wrong: it was changed, or damaged"
                )

    def _ledger_of(self, batch_id: str) -> Path:
        return self._root / SWEEP_FOLDER / batch_id / LEDGER_JSONL


def _trials_of(session: Mapping[str, Any]) -> int:
    """How many trials the session's search was to have; 0 where it was none."""
    recipe = session.get("recipe")
    search = recipe.get("search") if isinstance(recipe, Mapping) else None
    return int(search.get("trials") or 0) if isinstance(search, Mapping) else 0


def _reason(session: Mapping[str, Any], *, live: bool) -> str | None:
    """Why a config has not been started."""
    if live:
        return "not started yet"
    if not session.get("closed_at"):
        return "not started: its session was killed"
    recipe = session.get("recipe")
    if isinstance(recipe, Mapping) and recipe.get("only") is not None:
        return "not started: a rerun of others"
    how = str(session.get("how"))
    if how.startswith("stopped by") or "not started" in how:
        return "not started: stopped"
    return None
