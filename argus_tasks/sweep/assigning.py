"""What a worker is handed for an attempt, made of the plan, the sweep's wishes and the gate's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from argus_tasks.runs.metadata import RunMetadata, for_run
from argus_tasks.runs.record import RunKey
from argus_tasks.sweep.admission.gate import Ticket
from argus_tasks.sweep.attempt import Assignment
from argus_tasks.sweep.plan import Action, PlannedRun
from argus_tasks.sweep.retry import RetryPolicy

if TYPE_CHECKING:
    from argus_tasks.reporting.joined import JoinContext


def assignment_of(
    run: PlannedRun,
    try_number: int,
    *,
    key: RunKey,
    shared: RunMetadata,
    retry: RetryPolicy,
    ticket: Ticket | None,
    join: JoinContext | None,
) -> Assignment:
    """The assignment of a config's try, which counts this session's, from 1.

    `shared` is what `meta.json` says of every run, `ticket` what the attempt holds of the gate.
    """
    resumed = run.known if run.action is Action.RESUME else None
    before = resumed.attempt if resumed else 0
    meta = for_run(shared, run.config, before + try_number)
    if run.known is not None and resumed is None:
        meta.parent_run_id = meta.parent_run_id or run.known.run_id
    elif resumed is not None:
        meta.parent_run_id = meta.parent_run_id or resumed.record.get("parent_run_id")
    if ticket is not None:
        meta.extras = {**(meta.extras or {}), **ticket.facts}
    return Assignment(
        key,
        run.config,
        meta,
        replace(retry, max_attempts=before + max(1, retry.max_attempts)),
        resumed is not None and try_number == 1,
        join,
        ticket.environment if ticket is not None else {},
        ticket is not None and ticket.alone,
    )
