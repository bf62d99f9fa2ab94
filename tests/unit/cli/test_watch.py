"""What the progress line says."""

from __future__ import annotations

from argus_tasks.cli.watch import eta_text
from argus_tasks.session.progress import ProgressSnapshot


def shot(
    *, reused: int = 0, succeeded: int = 0, running: int = 0, eta_s: float | None
) -> ProgressSnapshot:
    return ProgressSnapshot(
        total=10,
        succeeded=reused + succeeded,
        failed=0,
        skipped=0,
        running=running,
        reused=reused,
        elapsed_s=1.0,
        eta_s=eta_s,
        running_names=(),
        recorded=None,
        waiting="",
    )


def test_before_the_first_run_begins_it_is_starting() -> None:
    assert eta_text(shot(eta_s=None)) == "starting"
    assert eta_text(shot(reused=4, eta_s=None)) == "starting"
    assert eta_text(shot(running=1, eta_s=None)) == "eta ?"
    assert eta_text(shot(reused=4, succeeded=1, eta_s=65.0)) == "eta 1:05"
    assert eta_text(shot(reused=10, eta_s=None)) == "eta ?"
