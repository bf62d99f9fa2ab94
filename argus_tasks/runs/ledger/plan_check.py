"""Checks that each config of a batch's plan has one outcome, or a reason why it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from argus_tasks.runs.ledger.checked_files import CheckedFiles
from argus_tasks.runs.ledger.ledger_runs import LedgerRun
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.runs.record.layout import FAILED, PLAN_JSONL, RUNNING, SKIPPED, SUCCEEDED


class PlanCheck:
    """Compares plans with the runs in ledgers and run folders.

    Args:
        files: collects the findings.
        runs: the runs of the ledgers, by run id.
        statuses: the statuses in the run folders, by run id.
        live_sessions: ids of the running sessions.
    """

    def __init__(
        self,
        files: CheckedFiles,
        runs: Mapping[str, LedgerRun],
        statuses: Mapping[str, str],
        live_sessions: set[str],
    ) -> None:
        self._files = files
        self._runs = runs
        self._statuses = statuses
        self._live_sessions = live_sessions

    def check(self, folder: SweepFolder, sessions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """How many configs of the batch's plan ended in which way."""
        by_digest: dict[str, list[str]] = {}
        for run_id, run in self._runs.items():
            if run.digest:
                by_digest.setdefault(run.digest, []).append(run_id)
        session = (sessions or [{}])[-1]
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
        self._check_trials(folder, sessions, counts)
        return counts

    def _check_trials(
        self,
        folder: SweepFolder,
        sessions: Sequence[Mapping[str, Any]],
        counts: dict[str, int],
    ) -> None:
        """Check a search's plan, which grows while it runs: it must have every trial that was run,
        and all trials of the search, or a reason why not."""
        searches = {each.get("id") for each in sessions if _trials_of(each)}
        session = (sessions or [{}])[-1]
        ran = {
            str(run.digest): run_id
            for run_id, run in self._runs.items()
            if any(one.session in searches for one in run.attempts)
        }
        asked = _trials_of(session)
        if not asked:
            return
        lines = list(folder.plan())
        for sentence in _wrong_trials(lines, ran):
            self._files.find(folder.path / PLAN_JSONL, sentence)
        left = asked - len(lines)
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
        """The outcome of a config's runs: of one that succeeded, else of the newest."""
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
            if run.session in self._live_sessions:
                return RUNNING
            return SUCCEEDED if status == SUCCEEDED else "cut off"
        said = str(run.last.get("status"))
        cause = str(run.last.get("cause") or "")
        if said == FAILED and cause.startswith("stopped by"):
            return "stopped"
        return said if said in (SUCCEEDED, SKIPPED, FAILED) else None


def _wrong_trials(lines: Sequence[Mapping[str, Any]], ran: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a search's plan; `ran` has the run ids that were started, by digest."""
    numbers = sorted(str(line.get("index")) for line in lines)
    if numbers != sorted(map(str, range(len(lines)))):
        yield f"its trials are not those from 0 to {len(lines) - 1}, each once"
    digests = {line.get("digest") for line in lines}
    for digest, run_id in sorted(ran.items()):
        if digest != "None" and digest not in digests:
            yield f"{run_id} was run, and no trial of the plan has its config"


def _trials_of(session: Mapping[str, Any]) -> int:
    """The number of trials of the session's search; 0 where it is not a search."""
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
