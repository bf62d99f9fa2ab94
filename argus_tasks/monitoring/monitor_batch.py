"""The batch on the monitor that a session reports to, and what the monitor knows of it already."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.monitoring.orphaned_jobs import OpenJob, open_jobs
from argus_tasks.planning.sweep_plan import Action, Plan
from argus_tasks.runs.ledger.monitor_journal import JobEnd, MonitorJournal
from argus_tasks.runs.ledger.sweep_folder import SweepFolder

_NUMBERED = re.compile(r"\.(\d+)$")


@dataclass(frozen=True, slots=True)
class MonitorBatch:
    """The batch on the monitor that a session reports to.

    Attributes:
        batch_id: its id.
        n_total: how many jobs it has: those that earlier sessions have reported, and those that
            are to be run now.
        labels: more keys of `batch_start`.
        ended: jobs whose end an earlier session has reported, and that are not run now.
        orphaned: jobs whose start was reported, and whose end was not, by name.
    """

    batch_id: str
    n_total: int
    labels: dict[str, Any] = field(default_factory=dict)
    ended: tuple[JobEnd, ...] = ()
    orphaned: Mapping[str, OpenJob] = field(default_factory=dict)


def monitor_batch_for(plan: Plan, folder: SweepFolder) -> MonitorBatch | None:
    """The batch on the monitor that a session reports to.

    The monitor does not open a batch again that is done. What is run later is reported as
    `<batch_id>.2`, then `.3`, and so on.

    Args:
        plan: what the session has to do.
        folder: the sweep's folder.

    Returns:
        None where there is nothing to report.
    """
    known = MonitorJournal(folder.path).read()
    labels: dict[str, Any] = {"sweep": plan.identity.name}
    if known.batch_id is None or known.closed == "done":
        if not plan.to_do:
            return None
        batch_id = plan.batch_id
        if known.batch_id is not None:
            batch_id = _next(plan.batch_id, known.batch_id)
            labels["continues"] = known.batch_id
        reused = plan.count(Action.REUSE) + plan.count(Action.LEAVE)
        if reused:
            labels["reused"] = reused
        return MonitorBatch(batch_id, len(plan.to_do), labels)
    now = {run.name for run in plan.to_do}
    by_name = {end.name: end for end in known.ends.values()}
    ended = tuple(
        by_name[run.name] for run in plan.runs if run.name in by_name and run.name not in now
    )
    reused = len(plan.runs) - len(plan.to_do) - len(ended)
    if reused:
        labels["reused"] = reused
    orphaned = open_jobs(folder, known)
    jobs = now | {end.name for end in ended} | set(orphaned)
    return MonitorBatch(known.batch_id, len(jobs), labels, ended, orphaned)


def _next(first: str, last: str) -> str:
    found = _NUMBERED.search(last.removeprefix(first))
    return f"{first}.{int(found[1]) + 1 if found else 2}"
