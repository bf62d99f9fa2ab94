"""Who observes the attempts of a session: one that reports to a monitor, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.workers.attempts.messages import Assignment

if TYPE_CHECKING:
    from argus_tasks.reporting.worker_reporter import JoinContext


class SessionObserver:
    """Called with what happens in a session; does nothing. Override what is to be reported.

    Attributes:
        reports: it reports to somebody.
    """

    reports = False

    def join(self, run: PlannedRun) -> JoinContext | None:  # noqa: ARG002 - an observer's
        """What the run's worker needs to emit for it."""
        return None

    def started(self, run: PlannedRun, assignment: Assignment) -> None:
        """An attempt begins; the job does with its first one."""

    def tries_again(self, index: int) -> None:
        """The attempt has failed, and another one follows."""

    def ended(self, index: int) -> None:
        """The job has ended; what it was is in the session."""

    def close(self, error: BaseException | None) -> None:
        """The session has ended, by this exception or by itself."""

    def attach(self, files: Sequence[Path], run_ids: Sequence[str]) -> None:
        """Send pictures of the whole, as artifacts of the first of these runs that it knows."""

    def leave(self) -> None:
        """Its workers are gone: wait a while until the monitor has all."""
