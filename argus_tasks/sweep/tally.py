"""What a session has come to, counted in configs."""

from __future__ import annotations

from collections.abc import Mapping

from argus_tasks.runs.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.runs.record import RunKey
from argus_tasks.runs.summary import RunSummary
from argus_tasks.sweep.attempt import Outcome
from argus_tasks.sweep.holding import Holding
from argus_tasks.sweep.plan import Action, Plan


def tally(
    plan: Plan,
    holding: Holding,
    last: Mapping[int, Outcome],
    keys: Mapping[int, RunKey],
    *,
    duration_s: float,
    unmirrored: int,
) -> RunSummary:
    """Count the last outcomes of this session, what was settled before it, and beside it."""
    endings = [outcome.ending for outcome in last.values()]
    reused = plan.count(Action.REUSE) + holding.count(SUCCEEDED)
    left = plan.count(Action.LEAVE) + holding.count(SKIPPED)
    failed = [
        keys[index].run_id for index, outcome in last.items() if outcome.ending.status == FAILED
    ]
    failed += holding.failed_run_ids
    return RunSummary(
        total=len(plan.runs),
        succeeded=reused + sum(ending.status == SUCCEEDED for ending in endings),
        failed=len(failed),
        skipped=left + sum(ending.status == SKIPPED for ending in endings),
        duration_sec=round(duration_s, 6),
        failed_run_ids=failed,
        reused=reused,
        not_started=len(plan.to_do) - len(last) - len(holding.settled),
        stopped=sum(ending.resumable for ending in endings),
        unmirrored=unmirrored,
    )
