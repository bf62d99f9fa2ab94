"""As which batch a session is told of, and what its monitor knows of that batch already."""

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
class Telling:
    """How a session is told of.

    Attributes:
        batch_id: the batch on the monitor.
        n_total: its jobs: those told of by earlier sessions, and those to be run now.
        labels: more of the batch.
        lost: jobs whose start was told, and whose end was not, by name.
        ended: jobs that earlier sessions have told the end of, and that are not run now.
    """

    batch_id: str
    n_total: int
    labels: dict[str, Any] = field(default_factory=dict)
    ended: tuple[JobEnd, ...] = ()
    lost: Mapping[str, OpenJob] = field(default_factory=dict)


def telling_of(plan: Plan, folder: SweepFolder) -> Telling | None:
    """How to tell of this session; None where there is nothing to tell.

    A batch that is done cannot be opened again on the monitor: what is run after it goes by
    `<batch_id>.2`, and so on.
    """
    told = MonitorJournal(folder.path).read()
    labels: dict[str, Any] = {"sweep": plan.identity.name}
    if told.batch_id is None or told.closed == "done":
        if not plan.to_do:
            return None
        batch_id = plan.batch_id
        if told.batch_id is not None:
            batch_id = _next(plan.batch_id, told.batch_id)
            labels["continues"] = told.batch_id
        reused = plan.count(Action.REUSE) + plan.count(Action.LEAVE)
        if reused:
            labels["reused"] = reused
        return Telling(batch_id, len(plan.to_do), labels)
    now = {run.name for run in plan.to_do}
    by_name = {end.name: end for end in told.ends.values()}
    ended = tuple(
        by_name[run.name] for run in plan.runs if run.name in by_name and run.name not in now
    )
    reused = len(plan.runs) - len(plan.to_do) - len(ended)
    if reused:
        labels["reused"] = reused
    lost = open_jobs(folder, told)
    jobs = now | {end.name for end in ended} | set(lost)
    return Telling(told.batch_id, len(jobs), labels, ended, lost)


def _next(first: str, last: str) -> str:
    found = _NUMBERED.search(last.removeprefix(first))
    return f"{first}.{int(found[1]) + 1 if found else 2}"
