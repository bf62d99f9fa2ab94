"""The answers of the server's events route, read event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.delivery.transport import Answer


@dataclass
class EventResults:
    """The events of a request that were not accepted.

    Attributes:
        refused: the server's reason, by event id.
        unmentioned: the ids of events that the answer does not mention.
    """

    refused: dict[str, str] = field(default_factory=dict)
    unmentioned: list[str] = field(default_factory=list)


def event_results(answer: Answer, event_ids: Sequence[str]) -> EventResults | None:
    """Read the answer to a request with events.

    An event counts as accepted only where the answer says so ("accepted" or "deduplicated"). An
    answer without `results` accepts all events if its count equals the number of events.

    Args:
        answer: the answer.
        event_ids: the ids of the events in the request.

    Returns:
        None where the answer is no success, or was not given by an Argus server.
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
    """Whether this status says that the server refuses something in the request."""
    others = (401, 403, 404, 405, 408, 425, 429)
    return status is not None and 400 <= status < 500 and status not in others
