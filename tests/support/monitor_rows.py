"""The events of a sweep that a loopback monitor has stored, and what must be true of them."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any, Protocol

ENDS = {"job_done", "job_failed"}


class Rows(Protocol):
    """A loopback monitor, in this process or another."""

    def rows(self, batch_id: str | None = None) -> list[dict[str, Any]]:
        """Stored events, in order."""
        ...


def jobs_reported(server: Rows, batch_id: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of each job of a batch, in the order stored, by its name without the suffix."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in server.rows(batch_id):
        if row["job_id"] and row["job_id"] != batch_id:
            found[row["job_id"][:-7]].append(row)
    return dict(found)


def kinds(rows: list[dict[str, Any]]) -> list[str]:
    return [row["event_type"] for row in rows]


def assert_reported_well(server: Rows, batch_id: str) -> dict[str, dict[str, Any]]:
    """One terminal event after the last start of the batch and of each job, and nothing after it
    but the batch's own; every event once. Returns each job's last row."""
    rows = server.rows(batch_id)
    of_batch = [kind for kind in kinds(rows) if kind.startswith("batch_")]
    assert of_batch[-2:] in (["batch_start", "batch_done"], ["batch_start", "batch_failed"]), (
        of_batch
    )
    closed = {"batch_done", "batch_failed"}
    assert not any(set(pair) <= closed for pair in pairwise(of_batch)), of_batch
    assert rows[0]["event_type"] == "batch_start"
    last = {}
    for name, mine in jobs_reported(server, batch_id).items():
        events = kinds(mine)
        assert events[0] == "job_start", name
        start = len(events) - 1 - events[::-1].index("job_start")
        ends = [index for index, kind in enumerate(events) if kind in ENDS and index > start]
        assert ends == [len(events) - 1], f"{name}: {events}"
        last[name] = mine[-1]
    return last
