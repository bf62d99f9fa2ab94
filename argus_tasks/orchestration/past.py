"""Earlier sessions of a results root, as Prefect's server should show them.

A flow process that was killed leaves its flow run and task runs Running for ever; one whose server
went away leaves task runs unknown. Ledger and folders know better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from argus_tasks.base.ids import job_suffix
from argus_tasks.orchestration.config_task import TASK_NAME
from argus_tasks.orchestration.expected import ExpectedRun
from argus_tasks.orchestration.mirror import repair_flow_run
from argus_tasks.orchestration.prefect_server import ServerAway
from argus_tasks.runs.layout import SKIPPED, SUCCEEDED
from argus_tasks.runs.ledger import SweepFolder, batches

_STOPPED = "stopped by "


@dataclass(frozen=True, slots=True)
class Repair:
    """What was put right of one earlier session.

    Attributes:
        batch_id: its batch.
        session: its id.
        task_runs: task runs that were made, set right or closed.
        left: task runs that the server still lacks or has wrong.
    """

    batch_id: str
    session: str
    task_runs: int
    left: int


def repair_past(
    results_root: Path, server: str, *, deadline_s: float, settled_too: bool = False
) -> list[Repair]:
    """Bring the flow runs of dead sessions, and of those known to differ, in line on this server;
    with `settled_too` also those that agreed with it once.

    `server` is the name under which sessions note the server they used; `deadline_s` is for each
    session. What already agrees is no repair. Errors: ServerAway.
    """
    done: list[Repair] = []
    for folder in batches(results_root):
        for session in ended_sessions(folder, server):
            if session["flow_run"].get("mirrored") and not settled_too:
                continue
            flow_run = session["flow_run"]
            report = repair_flow_run(
                UUID(flow_run["id"]),
                list(expected_runs(folder, session["id"])),
                deadline_s=deadline_s,
            )
            settled = report.settled
            left = settled.unmirrored if settled else 0
            folder.note_session(session["id"], flow_run={**flow_run, "mirrored": left == 0})
            mended = (settled.made + settled.mended if settled else 0) + report.task_runs_closed
            if mended or left or report.flow_run_closed or not flow_run.get("mirrored"):
                done.append(Repair(folder.batch_id, session["id"], mended, left))
    return done


def repair_quietly(results_root: Path, server: str, *, deadline_s: float) -> list[Repair]:
    """`repair_past` at the start of a sweep: what cannot be mended now waits for the next one."""
    try:
        return repair_past(results_root, server, deadline_s=deadline_s)
    except (ServerAway, OSError):
        return []


def ended_sessions(folder: SweepFolder, server: str) -> Iterator[dict[str, Any]]:
    """The sessions that have a flow run on this server, and whose process is known to be over."""
    for session in folder.sessions():
        if (session.get("flow_run") or {}).get("server") != server:
            continue
        if folder.is_over(session):
            yield session


def expected_runs(folder: SweepFolder, session: str) -> Iterator[ExpectedRun]:
    """The task runs of a session that have ended, by its ledger."""
    first: dict[str, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}
    for fact in folder.facts():
        if fact.get("session") == session and fact.get("job_id"):
            run_id = fact["run_id"]
            first.setdefault(run_id, fact)
            last[run_id] = fact
    ending = f"-{job_suffix(folder.batch_id)}"
    for run_id, fact in last.items():
        if fact.get("event") != "ended":
            continue
        kind, name = _state(str(fact["status"]), fact.get("cause"))
        yield ExpectedRun(
            task_run_id=None,
            name=str(fact["job_id"]).removesuffix(ending),
            task_key=TASK_NAME,
            dynamic_key="",
            state_type=kind,
            state_name=name,
            message=f"{fact.get('cause') or ''} ({folder.path.parents[1] / run_id})".strip(),
            run_count=int(fact["attempt"]) - int(first[run_id]["attempt"]) + 1,
            start_time=datetime.fromisoformat(first[run_id]["at"]),
            end_time=datetime.fromisoformat(fact["at"]),
        )


def _state(status: str, cause: str | None) -> tuple[str, str]:
    if status == SUCCEEDED:
        return "COMPLETED", "Completed"
    if status == SKIPPED:
        return "COMPLETED", "Skipped"
    if cause is not None and cause.startswith(_STOPPED):
        return "CANCELLED", "Cancelled"
    return "FAILED", "Failed"
