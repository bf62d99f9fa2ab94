"""What a session has come to so far, counted in configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argus_tasks.runs.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.runs.record import RunKey
from argus_tasks.runs.summary import RunSummary
from argus_tasks.sweep.attempt import Outcome
from argus_tasks.sweep.plan import Action, Plan
from argus_tasks.sweep.rules import Rules


def tally(
    plan: Plan,
    last: Mapping[int, Outcome],
    keys: Mapping[int, RunKey],
    rules: Rules,
    *,
    duration_s: float,
    unmirrored: int,
) -> RunSummary:
    """The summary of a plan and the last outcome of each of its configs that was run."""
    outcomes = dict(last)
    endings = [outcome.ending for outcome in outcomes.values()]
    reused, left = plan.count(Action.REUSE), plan.count(Action.LEAVE)
    failed = [
        keys[index].run_id for index, outcome in outcomes.items() if outcome.ending.status == FAILED
    ]
    blames = rules.blames(index for index in plan.order.indexes if index not in outcomes)
    reasons = [f"stopped by {rules.reason}"] if rules.reason else []
    return RunSummary(
        total=len(plan.runs),
        succeeded=reused + sum(ending.status == SUCCEEDED for ending in endings),
        failed=len(failed),
        skipped=left + sum(ending.status == SKIPPED for ending in endings),
        duration_sec=round(duration_s, 6),
        failed_run_ids=failed,
        reused=reused,
        not_started=len(plan.order.indexes) - len(outcomes),
        stopped=sum(ending.resumable for ending in endings),
        unmirrored=unmirrored,
        held=sum(blame.held for blame in blames),
        stopped_by=rules.reason.partition(":")[0],
        reasons=reasons + [blame.sentence() for blame in blames],
    )


def how_it_ended(summary: RunSummary, stop_reason: str) -> dict[str, Any]:
    """What `sweep.json` says of a session's end; `stop_reason` is empty where none stopped it."""
    how = f"stopped by {stop_reason}" if stop_reason else summary.sentence()
    return {"how": how, "reasons": summary.reasons}
