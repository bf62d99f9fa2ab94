"""One event for a quick task run instead of three: which of its state changes are worth sending.

Prefect's client emits Pending, Running and the end of each task run. The last one carries all that
the server keeps of a run (name, start and end, count of attempts, state), so what it overtakes
within a second need not be sent: the server's work is a third.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from uuid import UUID

from prefect.events import Event

from argus_tasks.prefect_compat.state_change import StateChange

HOLD_S = 1.0
TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


@dataclass(slots=True)
class Item:
    """An event, or the state change that it is made from, and the context in which it was emitted,
    from which its related resources are found (None where they have been found)."""

    event: Event | StateChange
    context: Context | None = None


@dataclass(slots=True)
class _Held:
    since: float
    item: Item
    dropped: dict[UUID, UUID | None]
    """Events of this run that are dropped, each with the event that it followed."""


class Coalescer:
    """Takes every event and returns those to send. Not thread-safe: one thread uses it."""

    def __init__(self, hold_s: float = HOLD_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold_s = hold_s
        self._clock = clock
        self._runs: dict[UUID | str, _Held] = {}
        self._sent_runs: dict[UUID | str, dict[UUID, UUID | None]] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._runs)

    def take(self, item: Item) -> Item | None:
        """The item itself where it is to be sent now; None where it is held back for a while."""
        event = item.event
        run = _run_of(event)
        if run is None:
            return item
        held = self._runs.pop(run, None)
        if held is not None:
            self.dropped += 1
            dropped = held.dropped
            dropped[held.item.event.id] = held.item.event.follows
            since = held.since
        else:
            dropped = self._sent_runs.pop(run, {})
            since = self._clock()
        # the server would hold back an event that follows one it has never received
        while event.follows in dropped:
            event.follows = dropped[event.follows]
        if _state_type(event) in TERMINAL:
            return item
        self._runs[run] = _Held(since, item, dropped)
        return None

    def due(self) -> list[Item]:
        """The items that have been held long enough."""
        latest = self._clock() - self._hold_s
        runs = [run for run, held in self._runs.items() if held.since <= latest]
        return [self._release(run) for run in runs]

    def flush(self) -> list[Item]:
        """All items that are held."""
        return [self._release(run) for run in list(self._runs)]

    def _release(self, run: UUID | str) -> Item:
        held = self._runs.pop(run)
        if held.dropped:
            self._sent_runs[run] = held.dropped
        return held.item


def _run_of(event: Event | StateChange) -> UUID | str | None:
    """The task run whose state changed; None for any other event."""
    if isinstance(event, StateChange):
        return event.task_run.id
    if not event.event.startswith("prefect.task-run."):
        return None
    if event.resource.get("prefect.orchestration") != "client":
        return None
    return event.resource.id


def _state_type(event: Event | StateChange) -> str | None:
    if isinstance(event, StateChange):
        return event.state.type.value
    return event.resource.get("prefect.state-type")
