"""How far a sweep is, for a terminal or a page to show."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from statistics import mean

from argus_tasks.base.deadline import Deadline
from argus_tasks.planning.sweep_plan import Action, Plan, PlannedRun
from argus_tasks.runs.record.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.workers.attempts.messages import Outcome

WORTH_SAYING_S = 1.0
"""What is waited for is said after so long."""


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """Counts of configs at one moment.

    Attributes:
        total: every config of the plan.
        succeeded: the reused ones included.
        eta_s: seconds until the end, from the finished ones' durations; None before any is known.
        recorded: once all has ended: how many task runs Prefect's server has recorded, of how many.
        waiting: once all has ended: what is waited for, and how long at most; empty at first.
    """

    total: int
    succeeded: int
    failed: int
    skipped: int
    running: int
    reused: int
    elapsed_s: float
    eta_s: float | None
    running_names: tuple[str, ...]
    recorded: tuple[int, int] | None
    waiting: str

    @property
    def done(self) -> int:
        """Those that are settled."""
        return self.succeeded + self.failed + self.skipped


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended for good.

    Attributes:
        run: which; its `run_id` names the folder.
        outcome: how its last attempt ended.
        attempts: how many it has had.
    """

    run: PlannedRun
    outcome: Outcome
    attempts: int


class Progress:
    """Counts what starts and ends; safe to use from many threads."""

    def __init__(
        self, total: int, reused: int, left: int, workers: int, *, failed: int = 0
    ) -> None:
        self._lock = threading.Lock()
        self._total = total
        self._reused = reused
        self._workers = workers
        self._counts = {SUCCEEDED: reused, FAILED: failed, SKIPPED: left}
        self._running: dict[int, tuple[str, float]] = {}
        self._durations: list[float] = []
        self._started = time.monotonic()
        self._news: list[EndedRun] = []
        self._recorded: tuple[int, int] | None = None
        self._waits_for: tuple[str, Deadline, float] | None = None

    def started(self, run: PlannedRun) -> None:
        """Count an attempt that starts."""
        with self._lock:
            self._running[run.index] = (run.name, time.monotonic())

    def paused(self, run: PlannedRun) -> None:
        """Count an attempt out that has failed and is tried again."""
        with self._lock:
            self._running.pop(run.index, None)

    def ended(self, run: PlannedRun, outcome: Outcome, attempts: int) -> None:
        """Count a run that has ended for good, after so many attempts."""
        with self._lock:
            self._running.pop(run.index, None)
            self._counts[outcome.ending.status] += 1
            self._durations.append(outcome.duration_s)
            self._news.append(EndedRun(run, outcome, attempts))

    def settled(self, status: str) -> None:
        """Count a config that another sweep has settled."""
        with self._lock:
            self._counts[status] += 1
            self._reused += status == SUCCEEDED

    def recorded(self, recorded: int, expected: int) -> None:
        """Note how many of the ended task runs Prefect's server has recorded."""
        self._recorded = (recorded, expected)

    def waits_for(self, what: str, deadline: Deadline) -> None:
        """Show that all has ended but this, which is waited for within the deadline."""
        self._waits_for = (what, deadline, time.monotonic())

    def take_news(self) -> list[EndedRun]:
        """The runs that have ended since the last call."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def snapshot(self) -> ProgressSnapshot:
        """The counts now."""
        with self._lock:
            counts = dict(self._counts)
            running = tuple(name for name, _ in self._running.values())
            now = time.monotonic()
            elapsed = now - self._started
            left = self._total - sum(counts.values())
            eta = None
            if self._durations:
                lanes = max(1, min(self._workers, left))
                ages = [now - since for _, since in self._running.values()]
                # One that has run for longer than the mean is a long one: half as long again.
                usual = mean([*self._durations[-500:], *ages])
                to_go = sum(max(usual - age, age / 2) for age in ages)
                to_go += max(0, left - len(ages)) * usual
                eta = max(1.0, to_go / lanes)
        return ProgressSnapshot(
            self._total,
            counts[SUCCEEDED],
            counts[FAILED],
            counts[SKIPPED],
            len(running),
            self._reused,
            elapsed,
            eta if left else 0.0,
            running,
            self._recorded,
            self._waiting(),
        )

    def _waiting(self) -> str:
        if self._waits_for is None:
            return ""
        what, deadline, since = self._waits_for
        if time.monotonic() - since < WORTH_SAYING_S:
            return ""
        return f"waiting for {what}, at most {deadline.left_s():.0f} s more"


def progress_of(plan: Plan, workers: int) -> Progress:
    """The progress of a session that has yet to begin: what the plan says is settled, is."""
    failed = len(plan.left_failed)
    left = plan.count(Action.LEAVE) - failed
    return Progress(len(plan.runs), plan.count(Action.REUSE), left, workers, failed=failed)
