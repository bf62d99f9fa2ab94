"""The state that a sweep's flow run ends in."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from argus_tasks.runs.ledger.summary import SweepFailed
from argus_tasks.session.sweep_session import SweepSession


def final_state(session: SweepSession) -> State[Any]:
    """Completed where all went well (also where a stop came after that), Cancelled where somebody
    stopped it, else Failed, also by one of its own rules; the summary says how."""
    summary = session.summary()
    if summary.ok:
        return Completed(message=summary.sentence())
    if session.stops.interrupted:
        return Cancelled(message=f"stopped by {session.stopped_by}: {summary.sentence()}")
    message = "; ".join([summary.sentence(), *summary.reasons])
    return Failed(message=message, data=SweepFailed(summary))
