"""One attempt of a config: executed, written down, reported, and whether another one follows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.runs.record.causes import CLAIM_LOST, DISK_FULL
from argus_tasks.runs.record.layout import RUNNING, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending, stopped_ending
from argus_tasks.session.attempt_factory import AttemptFactory
from argus_tasks.session.disk_space import DiskSpace
from argus_tasks.session.observer import SessionObserver
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.spec.modes import ENGINES
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.isolation.worker_death import outcome_of_death

log = logging.getLogger("argus_tasks")


class AttemptRunner:
    """Runs the attempts of a session that is open; safe to use from many threads.

    Args:
        session: whose configs are run.
        observer: called as each attempt starts and ends; by default nobody is.
        on_start: called with a config's index when an attempt of it has its worker.
    """

    def __init__(
        self,
        session: SweepSession,
        observer: SessionObserver | None = None,
        on_start: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._session = session
        self._plan = session.plan
        self._retry = session.request.retry
        self._stopping = session.stops.flag.is_set
        self._observer = observer or SessionObserver()
        self._on_start = on_start
        self._factory = AttemptFactory(session)
        self._results = session.results
        self._disk = DiskSpace(session.request.results_root)

    def run_one(self, index: int, try_number: int) -> Outcome:
        """Execute a config's attempt; `try_number` counts this session's, from 1.

        Whatever becomes of the experiment or its worker is an outcome, not an exception.
        """
        session = self._session
        run = self._plan.runs[index]
        if not self._may_start(run, try_number) or not session.claim(run):
            return self._not_run(run, try_number)
        run = session.claims.ours(run)
        assignment = self._factory.assignment(
            run, try_number, self._observer.join(run), session.admission.ticket(index)
        )
        began: list[float] = []

        def may_start() -> bool:
            if not self._may_start(run, try_number):
                return False
            began.append(time.monotonic())
            self._on_start(index)
            session.ledger.note(assignment, "started", Ending(RUNNING))
            self._observer.started(run, assignment)
            session.trials.started(run, assignment.key.run_dir)
            session.progress.started(run)
            return True

        session.ledger.forget(assignment)
        try:
            outcome = session.executor.run(assignment, may_start)
        except Exception as death:  # noqa: BLE001 - ours or pickle's: it costs this run
            if not began and self._stopping():
                return self._not_run(run, try_number)
            duration_s = time.monotonic() - began[0] if began else 0.0
            outcome = outcome_of_death(assignment, death, duration_s, session.stopped_by)
            if self._forgives(index, outcome.ending.cause):
                outcome = replace(outcome, free_retry=True)
        if outcome is None:
            return self._not_run(run, try_number)
        if outcome.ending.cause == CLAIM_LOST:  # the folder is another's now, and so is the word
            session.stops.stop("another host")
            self._results.outcomes[index] = outcome
            return outcome
        if self._disk.is_full(outcome.ending.cause):
            self._stop_for_a_full_disk()
        if outcome.ending.cause == DISK_FULL and session.stopped_by == DISK_FULL:
            cut = stopped_ending(DISK_FULL)
            outcome = replace(outcome, ending=cut, kinds=(), unwritten=True)
        if outcome.ending.status == SUCCEEDED and not outcome.unwritten:
            session.time_limit.succeeded(outcome.duration_s)
        outcome = session.ledger.ended(assignment, outcome)
        self._results.outcomes[index] = outcome
        if self.wants_retry(index, try_number):
            session.progress.paused(run)
        else:
            session.claims.let_go(run)
            session.ended(run, outcome, assignment.attempt)
        return outcome

    def wants_retry(self, index: int, try_number: int) -> bool:
        """True where the config's last attempt failed and is to be tried again."""
        outcome = self._results.outcomes.get(index)
        counted = try_number - (index in self._results.forgiven)
        return outcome is not None and outcome.is_retried(self._retry, counted)

    @property
    def most_tries(self) -> int:
        """How often one start of the sweep may try a config: where nodes can be lost, once more."""
        mode = self._session.request.execution.mode
        return max(1, self._retry.max_attempts) + (mode in ENGINES)

    def _may_start(self, run: PlannedRun, try_number: int) -> bool:
        held = try_number == 1 and self._session.rules.holds(run.index)
        return not held and not self._stopping()

    def _not_run(self, run: PlannedRun, try_number: int) -> Outcome:
        """The outcome of a try that a stop has forestalled; one that was to be a retry is cut."""
        session = self._session
        outcome = Outcome(stopped_ending(session.stopped_by or "breaker"))
        last = self._results.outcomes.get(run.index)
        if last is None:
            self._results.keys.pop(run.index, None)
        else:
            run = session.claims.ours(run)
            cut: Assignment = self._factory.assignment(run, try_number - 1)
            outcome = replace(outcome, stack=last.stack, unwritten=True)
            outcome = session.ledger.ended(cut, outcome)
            self._results.outcomes[run.index] = outcome
            session.ended(run, outcome, cut.attempt)
        session.claims.let_go(run)
        return outcome

    def _forgives(self, index: int, cause: str | None) -> bool:
        """True where an attempt that has failed so is tried again and does not count: once."""
        forgiven = self._results.forgiven
        if index in forgiven or not self._retry.allows_free_retry(cause):
            return False
        forgiven.add(index)
        return True

    def _stop_for_a_full_disk(self) -> None:
        root = self._session.request.results_root
        if self._session.rules.say(DISK_FULL, f"no room under {root}"):
            log.warning("no room under %s: nothing new starts; make some, and go on", root)
