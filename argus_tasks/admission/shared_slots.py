"""Slots of limits that are shared with other sweeps, as far as this sweep has been given some.

`orchestration.limits` gets them from Prefect's server, and sets `allowed` from a thread of its own.
Attempts take and give back slots here, which takes microseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from argus_tasks.admission.resource import Demand, Refusal, Resource


class LimitSlots:
    """The slots of one limit that this sweep may use now.

    Attributes:
        name: the limit's name on the server.
        local: the number of slots to use if the server cannot be reached.
        wanted: returns the largest number of slots that the sweep could use now.
        over_allowed: whether more slots are held than allowed, so that a slot given back must be
            returned to the server at once.
        changed: called then.
    """

    def __init__(self, name: str, local: int, wanted: Callable[[], int]) -> None:
        self.name = name
        self.local = local
        self.wanted = wanted
        self.over_allowed = False
        self.changed: Callable[[], None] = lambda: None
        self.callback: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._used = 0
        self._allowed: int | None = 0
        self._why = f"asking Prefect's server for {name}"

    @property
    def used(self) -> int:
        """The number of slots that attempts hold now."""
        return self._used

    @property
    def allowed(self) -> int | None:
        """The number of slots that may be held at the same time; None for any number."""
        return self._allowed

    def allow(self, allowed: int | None, why: str) -> None:
        """Set the number of slots that may be held; `why` is the reason in refusals."""
        with self._lock:
            more = allowed is None or (self._allowed is not None and allowed > self._allowed)
            self._allowed, self._why = allowed, why
        if more:
            self.callback()

    def try_take(self, count: int) -> Refusal | None:
        """Take `count` slots, or return a refusal."""
        with self._lock:
            if self._allowed is not None and self._used + count > self._allowed:
                return Refusal(self._why)
            self._used += count
            return None

    def give_back(self, count: int) -> None:
        """Take back `count` slots."""
        with self._lock:
            self._used -= count
        if self.over_allowed:
            self.changed()


class NamedLimits(Resource):
    """The named limits of a sweep; an attempt takes slots of those that apply to its config."""

    def __init__(self, slots: Sequence[LimitSlots]) -> None:
        self._slots = {each.name: each for each in slots}

    def try_take(self, demand: Demand, running: int) -> object | Refusal:  # noqa: ARG002
        taken: list[tuple[LimitSlots, int]] = []
        for name, count in demand.limits:
            slots = self._slots[name]
            refused = slots.try_take(count)
            if refused is not None:
                self.give_back(taken)
                return refused
            taken.append((slots, count))
        return taken

    def give_back(self, grant: object) -> None:
        assert isinstance(grant, list)
        for slots, count in grant:
            slots.give_back(count)

    def on_change(self, callback: Callable[[], None]) -> None:
        for slots in self._slots.values():
            slots.callback = callback
