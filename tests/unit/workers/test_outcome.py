"""Whether a run is retried is decided in one place, `Outcome.is_retried`."""

from __future__ import annotations

from pathlib import Path

import pytest

from argus_tasks.runs.record.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending, stopped_ending
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.workers.attempts.messages import Outcome

PACKAGE = Path(__file__).parents[3] / "argus_tasks"
KINDS = ("OSError", "Exception")
FAILURE = Ending(FAILED, "OSError", "OSError", "no route")


@pytest.mark.parametrize(
    ("outcome", "attempt", "retried"),
    [
        (Outcome(FAILURE, KINDS), 1, True),
        (Outcome(FAILURE, KINDS), 2, False),
        (Outcome(FAILURE, ("KeyError",)), 1, False),
        (Outcome(FAILURE, KINDS, free_retry=True), 2, True),
        (Outcome(stopped_ending("user"), KINDS), 1, False),
        (Outcome(stopped_ending("user"), KINDS, free_retry=True), 1, False),
        (Outcome(Ending(SUCCEEDED), KINDS), 1, False),
        (Outcome(Ending(SKIPPED, "skipped"), KINDS), 1, False),
    ],
)
def test_a_failure_that_the_policy_allows_is_retried(
    outcome: Outcome, attempt: int, retried: bool
) -> None:
    assert outcome.is_retried(RetryPolicy(2, ("OSError",)), attempt) is retried


def test_nobody_else_asks_the_policy() -> None:
    askers = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if ".allows(" in path.read_text(encoding="utf-8")
    ]
    assert askers == ["workers/attempts/messages.py"]
