"""What an answer of the events route says of each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.delivery.transport import Answer


@dataclass
class EventResults:
    """By event id: those refused, with the server's words, and those it says nothing of."""

    refused: dict[str, str] = field(default_factory=dict)
    unmentioned: list[str] = field(default_factory=list)


def event_results(answer: Answer, event_ids: Sequence[str]) -> EventResults | None:
    """Read an answer of success; None where it is another, or no Argus server's.

    Only what the answer calls accepted (or deduplicated) is; without `results`, all where it says
    that as many were accepted as were sent.
    """
    body = answer.body
    if answer.status is None or not 200 <= answer.status < 300 or not isinstance(body, dict):
        return None
    results = body.get("results")
    if not results and body.get("accepted") == len(event_ids) and not body.get("rejected"):
        return EventResults()
    if not isinstance(results, list):
        return None
    by_id: dict[str, Any] = {
        str(one.get("event_id")).lower(): one for one in results if isinstance(one, dict)
    }
    said = EventResults()
    for event_id in event_ids:
        one = by_id.get(event_id.lower(), {})
        status = one.get("status")
        if status == "rejected":
            said.refused[event_id] = str(one.get("error") or "rejected")
        elif status not in ("accepted", "deduplicated"):
            said.unmentioned.append(event_id)
    return said


def refuses(status: int | None) -> bool:
    """Whether this status says that something in the request is not taken."""
    others = (401, 403, 404, 405, 408, 425, 429)
    return status is not None and 400 <= status < 500 and status not in others
