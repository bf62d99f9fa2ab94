"""A task run's state change, from which Prefect's event is made only if it is sent.

Of a quick task run's three events one is sent (`coalescing`), and making one costs Prefect about
as much as all else that it does for a change of state.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any
from uuid import UUID

from prefect import task_engine
from prefect.client.schemas.objects import State, TaskRun
from prefect.events import Event
from prefect.states import Completed

from argus_tasks.prefect_compat.hook import PROVEN, Hook

FOLLOWS_LIMIT_S = 300.0
"""Seconds within which Prefect names the event that came before."""


@dataclass(slots=True, eq=False)
class StateChange:
    """The arguments with which Prefect's engine would make its event."""

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
        """Prefect's own event of this state change."""
        facts: dict[str, Any] = _facts_function()(self.task_run, self.initial, self.state)
        facts["follows"] = self.follows
        return Event(**facts)


def state_change(
    task_run: TaskRun,
    initial_state: State[Any] | None,
    validated_state: State[Any],
    follows: Event | StateChange | None = None,
) -> StateChange:
    """A StateChange from the arguments of `emit_task_run_state_change_event`."""
    before = None
    if follows is not None:
        apart_s = validated_state.timestamp.timestamp() - follows.occurred.timestamp()
        before = follows.id if abs(apart_s) < FOLLOWS_LIMIT_S else None
    return StateChange(task_run, initial_state, validated_state, before)


def stand_in(emit: Any) -> None:
    """Make the engine call `emit` for each state change, unless another library has replaced what
    it calls."""
    if vars(task_engine).get(_NAME) is _prefects_own():
        setattr(task_engine, _NAME, emit)


def stand_back(emit: Any) -> None:
    """Restore Prefect's own function in the engine, where it calls `emit`."""
    if vars(task_engine).get(_NAME) == emit:
        setattr(task_engine, _NAME, _prefects_own())


_NAME = "emit_task_run_state_change_event"


def _prefects_own() -> Any:
    return getattr(import_module("prefect.utilities.engine"), _NAME, None)


@cache
def _facts_function() -> Any:
    """Prefect's function with its last line changed: it returns the event instead of sending it."""
    original = _prefects_own()
    return FunctionType(
        original.__code__,
        {**original.__globals__, "emit_event": lambda **facts: facts},
        _NAME,
        original.__defaults__,
    )


def _probe() -> str | None:
    original = _prefects_own()
    if not inspect.isfunction(original):
        return f"there is no function {_NAME}"
    if vars(task_engine).get(_NAME) != original:
        return "its engine emits with another function, or another library has replaced it"
    wanted = ["task_run", "initial_state", "validated_state", "follows"]
    if list(inspect.signature(original).parameters) != wanted:
        return f"{_NAME} takes other arguments"
    if "emit_event" not in original.__code__.co_names:
        return f"{_NAME} sends differently"
    facts = _facts_function()(TaskRun(task_key="t", dynamic_key="0"), None, Completed())
    return None if isinstance(facts, dict) and "resource" in facts else "its event has other fields"


HOOK = Hook(
    name="state changes",
    does="makes Prefect's event of a task run's change of state only where it is sent",
    without="an event is made of each change of state",
    gain="0.3 ms of the flow's process a run (3.8.8)",
    proven=PROVEN,
    probe=_probe,
)
