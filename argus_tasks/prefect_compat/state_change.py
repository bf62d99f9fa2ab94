"""A task run's change of state, of which Prefect's event is made only if it is sent.

Of a quick task run's three events one is sent (`coalescing`), and making one costs Prefect about
as much as all else that it does for a change of state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import FunctionType
from typing import Any
from uuid import UUID

from prefect import task_engine
from prefect.client.schemas.objects import State, TaskRun
from prefect.events import Event
from prefect.utilities.engine import emit_task_run_state_change_event

FOLLOWS_LIMIT_S = 300.0
"""Prefect names the event before only where that was within this time."""


@dataclass(slots=True, eq=False)
class StateChange:
    """What Prefect's engine has given for its event, as far as that was not yet made of it."""

    task_run: TaskRun
    initial: State[Any] | None
    state: State[Any]
    follows: UUID | None

    @property
    def id(self) -> UUID:
        """The event's id."""
        return self.state.id

    @property
    def occurred(self) -> datetime:
        """When the state changed."""
        return self.state.timestamp

    def event(self) -> Event:
        """Prefect's own event of it."""
        facts: dict[str, Any] = _facts(self.task_run, self.initial, self.state)
        facts["follows"] = self.follows
        return Event(**facts)


def state_change(
    task_run: TaskRun,
    initial_state: State[Any] | None,
    validated_state: State[Any],
    follows: Event | StateChange | None = None,
) -> StateChange:
    """Takes what `emit_task_run_state_change_event` takes."""
    before = None
    if follows is not None:
        apart_s = validated_state.timestamp.timestamp() - follows.occurred.timestamp()
        before = follows.id if abs(apart_s) < FOLLOWS_LIMIT_S else None
    return StateChange(task_run, initial_state, validated_state, before)


def offered() -> bool:
    """Whether this Prefect's engine emits through the function that we stand in for."""
    return getattr(task_engine, _NAME, None) is emit_task_run_state_change_event


def stand_in(emit: Any) -> None:
    """Have the engine call `emit` for each change of state."""
    setattr(task_engine, _NAME, emit)


def stand_back() -> None:
    """Give the engine Prefect's own again."""
    setattr(task_engine, _NAME, emit_task_run_state_change_event)


_NAME = emit_task_run_state_change_event.__name__

# Prefect's function, but for its last line: what would be sent is returned instead.
_facts = FunctionType(
    emit_task_run_state_change_event.__code__,
    {**emit_task_run_state_change_event.__globals__, "emit_event": lambda **facts: facts},
    _NAME,
    emit_task_run_state_change_event.__defaults__,
)
