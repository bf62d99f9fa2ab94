"""Slots of limits that are shared beyond this sweep, as far as this sweep has been given some.

Who gives them (Prefect's server, asked by `orchestration.limits`) sets `allowed` from a thread of
its own; attempts take and give back here, in microseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from argus_tasks.admission.resource import Demand, Refusal, Resource


class LimitSlots:
    """The slots of one limit that this sweep may use now.

    Attributes:
        name: the limit's name on the server.
        local: how many, where nobody can be asked.
        wanted: how many the sweep could use now, at most.
        owed: more is held than may be: what is given back is to go further at once.
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
        """How many attempts hold now."""
        return self._used

    @property
    def allowed(self) -> int | None:
        """How many may be held at once; None: any number."""
        return self._allowed

    def allow(self, allowed: int | None, why: str) -> None:
        """Let so many be held from now on; `why` is said to those that are refused."""
        with self._lock:
            more = allowed is None or (self._allowed is not None and allowed > self._allowed)
            self._allowed, self._why = allowed, why
        if more:
            self.callback()

    def try_take(self, count: int) -> Refusal | None:
        """Take so many, or say why not."""
        with self._lock:
            if self._allowed is not None and self._used + count > self._allowed:
                return Refusal(self._why)
            self._used += count
            return None

    def give_back(self, count: int) -> None:
        """Take back so many."""
        with self._lock:
            self._used -= count
        if self.over_allowed:
            self.changed()


class NamedLimits(Resource):
    """The named limits of a sweep; a config takes slots of those that apply to it."""

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
