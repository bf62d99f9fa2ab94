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
        reports: True where there is somebody to report to.
    """

    reports = False

    def join(self, run: PlannedRun) -> JoinContext | None:  # noqa: ARG002 - an observer's
        """What the run's worker needs to report its epochs; None where nothing is reported."""
        return None

    def started(self, run: PlannedRun, assignment: Assignment) -> None:
        """An attempt begins. With the first one of a config its job begins, too."""

    def tries_again(self, index: int) -> None:
        """The attempt has failed, and another one follows."""

    def ended(self, index: int) -> None:
        """The config has ended for good, as `SweepSession.results` has it."""

    def close(self, error: BaseException | None) -> None:
        """All configs have ended, or this exception has ended the session."""

    def attach(self, files: Sequence[Path], run_ids: Sequence[str]) -> None:
        """Send plots of the sweep, as artifacts of the first of these runs that was reported."""

    def leave(self) -> None:
        """The session is closed: wait a while for the monitor to have received everything."""
