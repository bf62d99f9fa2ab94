"""Whether Prefect's server shows what the ledgers of a results root say; nothing is changed.

For `argus-tasks verify`, in a process whose PREFECT_API_URL was set before Prefect was imported
(`cli.prefect.using_prefect` does that, and gives the `server` name to pass):

    with using_prefect(notice=...) as server:
        for check in check_mirrors(results_root, server):
            for sentence in check.differences: ...

ServerAway, an ArgusTasksError, says that the server does not answer: then nothing can be said of
its side. What differs is put right by `argus-tasks status --repair`, or the sweep's next start.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from argus_tasks.orchestration.mirror.mirror import compare_flow_run
from argus_tasks.orchestration.mirror.past_task_runs import PastRuns
from argus_tasks.orchestration.mirror.repair import ended_sessions, is_ending
from argus_tasks.orchestration.prefect_api.expected_task_runs import (
    TERMINAL_TYPES,
    ExpectedRun,
    ServerDifferences,
)
from argus_tasks.orchestration.prefect_api.prefect_server import PrefectServer, asked_once
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, batches

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class MirrorCheck:
    """How the server shows one session of a batch.

    Attributes:
        batch_id: its batch.
        session: its id.
        flow_run: its flow run's id.
        right: task runs that the server shows as the ledger has them.
        differences: what it shows otherwise, a sentence each; empty where it agrees.
    """

    batch_id: str
    session: str
    flow_run: str
    right: int
    differences: list[str]


def check_mirrors(
    results_root: Path, server: str, batch_id: str | None = None
) -> Iterator[MirrorCheck]:
    """Compare each session that has ended and ran on this server with its ledger; all batches of
    the results root, or one. Sessions that run, or ran on another server, are left out.

    `server` is the name under which sessions note the server that they used. Errors: ServerAway.
    """
    past = PastRuns(results_root)
    for folder in batches(results_root):
        if batch_id not in (None, folder.batch_id):
            continue
        for session in ended_sessions(folder, server):
            yield _check(folder, session, past.expected(session["id"]))


def _check(
    folder: SweepFolder, facts: Mapping[str, Any], expected: Sequence[ExpectedRun]
) -> MirrorCheck:
    session, flow_run = facts["id"], facts["flow_run"]["id"]
    with asked_once(PrefectServer()) as server:
        shown = server.flow_run_state(UUID(flow_run))
        if shown is None:
            sentences = [f"Prefect's server does not know flow run {flow_run}"]
            return MirrorCheck(folder.batch_id, session, flow_run, 0, sentences)
        found = compare_flow_run(UUID(flow_run), expected)
        sentences = list(_sentences(found))
        while shown not in TERMINAL_TYPES and is_ending(facts):
            time.sleep(_LOOK_S)
            shown = server.flow_run_state(UUID(flow_run))
    if shown not in TERMINAL_TYPES:
        sentences.append(f"flow run {flow_run} is shown as {shown}; its session has ended")
    return MirrorCheck(folder.batch_id, session, flow_run, found.right, sentences)


def _sentences(found: ServerDifferences) -> Iterator[str]:
    for run in found.missing:
        yield f"task run '{run.name}' is missing; the ledger says {run.state_name}"
    for run, row in found.wrong:
        yield (
            f"task run '{run.name}' is shown as {row.state_name}; the ledger says {run.state_name}"
        )
    for row in found.left_open:
        yield f"task run '{row.name}' is shown as {row.state_name}; its session has ended"
