"""The counts at a sweep's end, and the exceptions that carry them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from argus_tasks.base.errors import ArgusTasksError


@dataclass(slots=True)
class RunSummary:
    """How many configs of a sweep succeeded, failed, were skipped or not started.

    Examples:
        >>> from argus_tasks import RunSummary
        >>> summary = RunSummary(total=3, succeeded=2, failed=1, skipped=0, duration_sec=8.5)
        >>> summary.ok
        False
        >>> summary.sentence()
        '2 of 3 succeeded, 1 failed'

    Attributes:
        total: all configs of the sweep.
        succeeded: configs that succeeded, now or (`reused`) in an earlier session.
        failed: configs whose last attempt failed or was stopped.
        skipped: configs whose experiment raised `SkipRun`, and trials that were pruned.
        duration_sec: wall-clock seconds of this session.
        failed_run_ids: run ids (which are folder names) of the failed configs.
        reused: how many of `succeeded` had succeeded before and were not run again.
        not_started: configs that were never tried, because of a stop or of the breaker.
        stopped: how many of `failed` were ended by a stop; the next start resumes them.
        unmirrored: task runs whose end Prefect's server could not be made to record.
        held: how many of `not_started` the breaker has left unstarted.
        stopped_by: the rule that stopped the sweep (such as `max_failures`); empty where none has.
        not_finite: how many of `succeeded` have a metric that is nan or an infinity.
        reasons: a line for that rule, and a line for each value that the breaker has stopped.
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
    not_finite: int = 0

    @property
    def ok(self) -> bool:
        """True where every config succeeded or was skipped."""
        return self.succeeded + self.skipped == self.total

    def to_dict(self) -> dict[str, Any]:
        """The summary as a dict.

        Returns:
            Every attribute by its name.
        """
        return asdict(self)

    def sentence(self) -> str:
        """The summary in one line.

        Returns:
            A text such as `21 of 24 succeeded (4 reused), 3 failed`.
        """
        reused = f" ({self.reused} reused)" if self.reused else ""
        parts = [f"{self.succeeded} of {self.total} succeeded{reused}"]
        if self.not_finite:
            parts.append(f"{self.not_finite} not finite")
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
    """Some configs of a sweep failed; raised by `sweep_flow(..., raise_on_failure=True)`.

    Attributes:
        summary: the counts of the sweep.
    """

    def __init__(self, summary: RunSummary) -> None:
        super().__init__(summary.sentence())
        self.summary = summary


class SweepStopped(KeyboardInterrupt):
    """A sweep was stopped before its end; every run and the batch have been recorded.

    It is a KeyboardInterrupt, so that a script that is interrupted does not go on.

    Attributes:
        summary: the counts of the sweep.
        signal: the signal that stopped it (SIGINT, SIGTERM, SIGHUP); None after a cancel, the
            monitor's stop button or `argus-tasks stop`.
    """

    def __init__(self, by: str, summary: RunSummary, signal: int | None = None) -> None:
        super().__init__(f"stopped by {by}: {summary.sentence()}")
        self.summary = summary
        self.signal = signal
