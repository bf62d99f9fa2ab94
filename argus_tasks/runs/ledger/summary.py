"""What a sweep came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from argus_tasks.base.errors import ArgusTasksError


@dataclass(slots=True)
class RunSummary:
    """What a sweep came to, counted in configs.

    Attributes:
        total: every config of the sweep.
        succeeded: those that succeeded, now or (`reused`) in an earlier session.
        failed: those whose last attempt failed; the stopped ones among them.
        skipped: those that raised `SkipRun`.
        duration_sec: wall-clock seconds of this session.
        failed_run_ids: the folders' names of the failed ones.
        reused: how many of `succeeded` had succeeded before and were not run again.
        not_started: those that a stop, or the breaker, left without a try.
        stopped: how many of `failed` were ended by a stop; the next start takes them up.
        unmirrored: task runs that Prefect's server could not be made to know.
        held: how many of `not_started` the breaker has held back.
        stopped_by: the rule that stopped the sweep (`max_failures`); empty where none has.
        reasons: a line for that rule, and one for each value that the breaker holds back.
    """

    total: int
    succeeded: int
    failed: int
    skipped: int
    duration_sec: float
    failed_run_ids: list[str] = field(default_factory=list)
    reused: int = 0
    not_started: int = 0
    stopped: int = 0
    unmirrored: int = 0
    held: int = 0
    stopped_by: str = ""
    reasons: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where every config succeeded or was skipped."""
        return self.succeeded + self.skipped == self.total

    def to_dict(self) -> dict[str, Any]:
        """The summary as a dict."""
        return asdict(self)

    def sentence(self) -> str:
        """The summary in one line: `21 of 24 succeeded (4 reused), 3 failed`."""
        reused = f" ({self.reused} reused)" if self.reused else ""
        parts = [f"{self.succeeded} of {self.total} succeeded{reused}"]
        if self.failed - self.stopped:
            parts.append(f"{self.failed - self.stopped} failed")
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        if self.stopped:
            parts.append(f"{self.stopped} stopped")
        if self.not_started:
            held = f" ({self.held} held)" if self.held else ""
            parts.append(f"{self.not_started} not started{held}")
        if self.unmirrored:
            parts.append(f"{self.unmirrored} unknown to Prefect's server")
        return ", ".join(parts)


class SweepFailed(ArgusTasksError):
    """Some configs of a sweep failed; `summary` says what it came to."""

    def __init__(self, summary: RunSummary) -> None:
        super().__init__(summary.sentence())
        self.summary = summary


class SweepStopped(KeyboardInterrupt):
    """A sweep was stopped before its end, and all is settled; `summary` says what it came to.

    It is a KeyboardInterrupt, so that a script that is interrupted does not go on.

    Attributes:
        summary: what it came to.
        signal: the signal that stopped it (SIGINT, SIGTERM, SIGHUP); None where none did.
    """

    def __init__(self, by: str, summary: RunSummary, signal: int | None = None) -> None:
        super().__init__(f"stopped by {by}: {summary.sentence()}")
        self.summary = summary
        self.signal = signal
