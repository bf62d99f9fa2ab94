"""What a session has come to, counted in configs."""

from __future__ import annotations

from typing import Any

from argus_tasks.planning.sweep_plan import Action, Plan
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.runs.record.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.session.config_claims import ConfigClaims
from argus_tasks.session.config_results import ConfigResults
from argus_tasks.session.rules import Rules


def tally(
    plan: Plan,
    claims: ConfigClaims,
    results: ConfigResults,
    rules: Rules,
    *,
    duration_s: float,
    unmirrored: int,
) -> RunSummary:
    """The summary: this session's outcomes, what was settled before it, and what others have."""
    last = dict(results.outcomes)  # others may end meanwhile
    endings = [outcome.ending for outcome in last.values()]
    reused = plan.count(Action.REUSE) + claims.count(SUCCEEDED)
    before = plan.left_failed
    left = plan.count(Action.LEAVE) - len(before) + claims.count(SKIPPED)
    failed = before + [
        results.keys[index].run_id
        for index, outcome in last.items()
        if outcome.ending.status == FAILED
    ]
    failed += claims.failed_run_ids
    blames = rules.blames(
        index for index in plan.order.indexes if index not in last and index not in claims.settled
    )
    settled = [run.known for run in plan.runs if run.action is Action.REUSE and run.known]
    settled += [known for known in claims.settled.values() if known.status == SUCCEEDED]
    not_finite = sum(bool(known.record.get("nonfinite")) for known in settled)
    not_finite += sum(bool(outcome.not_finite) for outcome in last.values())
    reasons = [f"stopped by {rules.reason}"] if rules.reason else []
    return RunSummary(
        total=len(plan.runs),
        succeeded=reused + sum(ending.status == SUCCEEDED for ending in endings),
        failed=len(failed),
        skipped=left + sum(ending.status == SKIPPED for ending in endings),
        duration_sec=round(duration_s, 6),
        failed_run_ids=failed,
        reused=reused,
        not_started=len(plan.to_do) - len(last) - len(claims.settled),
        stopped=sum(ending.resumable for ending in endings),
        unmirrored=unmirrored,
        held=sum(blame.held for blame in blames),
        stopped_by=rules.reason.partition(":")[0],
        reasons=reasons + [blame.sentence() for blame in blames],
        not_finite=not_finite,
    )


def how_it_ended(summary: RunSummary, stop_reason: str) -> dict[str, Any]:
    """What `sweep.json` says of a session's end; `stop_reason` is empty where none stopped it."""
    how = f"stopped by {stop_reason}" if stop_reason else summary.sentence()
    return {"how": how, "reasons": summary.reasons}
