"""Earlier sessions of a results root, as Prefect's server should show them.

A flow process that was killed leaves its flow run and task runs Running for ever; one whose server
went away leaves task runs unknown. The ledgers know better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from argus_tasks.base.clock import utc_now
from argus_tasks.base.processes import is_dead
from argus_tasks.orchestration.mirror.mirror import repair_flow_run
from argus_tasks.orchestration.mirror.past_task_runs import PastRuns
from argus_tasks.orchestration.prefect_api.prefect_server import ServerAway
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, batches

_ENDING = timedelta(seconds=10)


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
    past = PastRuns(results_root)
    for folder in batches(results_root):
        for session in ended_sessions(folder, server):
            before = session["flow_run"]
            # Of a dead session's runs others may have written ends since it was looked at.
            if before.get("mirrored") and session.get("closed_at") and not settled_too:
                continue
            runs = past.expected(session["id"])
            if before.get("mirrored") and before.get("ends") == len(runs) and not settled_too:
                continue
            report = repair_flow_run(
                UUID(before["id"]),
                runs,
                deadline_s=deadline_s,
                flow_run_too=not is_ending(session),
            )
            settled = report.settled
            left = settled.unmirrored if settled else 0
            after = {**before, "mirrored": left == 0, "ends": len(runs)}
            if after != before:
                folder.note_session(session["id"], flow_run=after)
            mended = (settled.made + settled.mended if settled else 0) + report.task_runs_closed
            if mended or left or report.flow_run_closed or not before.get("mirrored"):
                done.append(Repair(folder.batch_id, session["id"], mended, left))
    return done


def repair_quietly(results_root: Path, server: str, *, deadline_s: float) -> list[Repair]:
    """`repair_past` at the start of a sweep: what cannot be mended now waits for the next one."""
    try:
        return repair_past(results_root, server, deadline_s=deadline_s)
    except (ServerAway, OSError):
        return []


def is_ending(session: Mapping[str, Any]) -> bool:
    """Whether a session that is closed may not yet have said how its flow run ended."""
    closed_at = session.get("closed_at")
    if not closed_at or is_dead(session.get("process") or {}):
        return False
    return utc_now() - datetime.fromisoformat(closed_at) < _ENDING


def ended_sessions(folder: SweepFolder, server: str) -> Iterator[dict[str, Any]]:
    """The sessions that have a flow run on this server, and whose process is known to be over."""
    for session in folder.sessions():
        if (session.get("flow_run") or {}).get("server") != server:
            continue
        if folder.is_over(session):
            yield session
