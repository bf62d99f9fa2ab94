"""The gate before the workers: an attempt starts when it gets all that it needs, and not before."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from argus_tasks.admission.resource import Demand, Refusal, Resource

_LOOK_FOR_STOP_S = 0.2


class Ticket:
    """What an attempt holds while it runs; `leave` gives it back, once."""

    __slots__ = ("_gate", "alone", "grants")

    def __init__(self, gate: Gate, grants: tuple[object, ...], *, alone: bool) -> None:
        self._gate: Gate | None = gate
        self.grants = grants
        self.alone = alone

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that its grants add to the attempt."""
        return self._gate.environment_of(self.grants) if self._gate and self.grants else {}

    @property
    def facts(self) -> dict[str, Any]:
        """What `meta.json` records of its grants."""
        return self._gate.facts_of(self.grants) if self._gate and self.grants else {}

    def leave(self) -> None:
        """Give all grants back, and admit waiting attempts."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._leave(self)


class _Waiter:
    __slots__ = ("demand", "held", "ticket", "woken")

    def __init__(self, demand: Demand, held: Refusal) -> None:
        self.demand = demand
        self.held = held
        self.ticket: Ticket | None = None
        self.woken = threading.Event()


class Gate:
    """Admits attempts. Safe to use from many threads.

    Args:
        resources: asked in this order; if one refuses, the grants of the earlier ones are given
            back.
        changed: called when a refused demand may succeed now, after those that wait in `enter`.
    """

    def __init__(
        self, resources: Sequence[Resource] = (), changed: Callable[[], None] = lambda: None
    ) -> None:
        self.changed = changed
        self._resources = tuple(resources)
        self._lock = threading.Lock()
        self._running = 0
        self._alone = False
        self._waiters: deque[_Waiter] = deque()
        self._refused = False
        for resource in self._resources:
            resource.on_change(self._room)

    @property
    def running(self) -> int:
        """The number of tickets that are held."""
        return self._running

    @property
    def waiting(self) -> int:
        """The number of attempts that wait in `enter`."""
        return len(self._waiters)

    @property
    def holding(self) -> tuple[str, ...]:
        """The reasons why attempts wait in `enter`."""
        return tuple(waiter.held.reason for waiter in tuple(self._waiters))

    def demands(self) -> list[Demand]:
        """The demands of the attempts that wait in `enter`."""
        return [waiter.demand for waiter in tuple(self._waiters)]

    def try_enter(self, demand: Demand) -> Ticket | Refusal:
        """Get all that the demand needs now, or a refusal."""
        with self._lock:
            answer = self._behind_waiters(demand) or self._try(demand)
            if isinstance(answer, Refusal):
                self._refused = True
        return answer

    def enter(self, demand: Demand, stopping: Callable[[], bool]) -> Ticket | None:
        """Wait for all that the demand needs; None if `stopping` returns True first."""
        with self._lock:
            answer = self._behind_waiters(demand) or self._try(demand)
            if isinstance(answer, Ticket):
                return answer
            waiter = _Waiter(demand, answer)
            self._waiters.append(waiter)
        try:
            while not stopping() and not waiter.woken.wait(_LOOK_FOR_STOP_S):
                pass
        finally:
            with self._lock:
                if waiter.ticket is None:
                    self._waiters.remove(waiter)
        ticket = waiter.ticket
        if ticket is None:
            self._room()
        return ticket

    def close(self) -> None:
        """Close the resources: nothing will start any more, and nothing runs."""
        for resource in self._resources:
            resource.close()

    def environment_of(self, grants: tuple[object, ...]) -> dict[str, str]:
        """The environment variables that these grants add to an attempt."""
        needed: dict[str, str] = {}
        for resource, grant in zip(self._resources, grants, strict=True):
            more: Mapping[str, str] = resource.environment(grant)
            needed |= more
        return needed

    def facts_of(self, grants: tuple[object, ...]) -> dict[str, Any]:
        """What `meta.json` records of these grants."""
        facts: dict[str, Any] = {}
        for resource, grant in zip(self._resources, grants, strict=True):
            facts |= resource.facts(grant)
        return facts

    def _behind_waiters(self, demand: Demand) -> Refusal | None:
        """The refusal of a waiting attempt that this demand must not overtake: one that needs the
        machine alone, or one of the same kind."""
        for waiter in self._waiters:
            if waiter.demand.alone or waiter.demand.kind == demand.kind:
                return waiter.held
        return None

    def _try(self, demand: Demand) -> Ticket | Refusal:
        if self._alone:
            return Refusal("another run needs the machine for itself")
        if demand.alone and self._running:
            return Refusal("waiting until no other run is active")
        if not self._resources:
            return self._admitted(demand, ())
        taken: list[object] = []
        for resource in self._resources:
            grant = resource.try_take(demand, self._running)
            if isinstance(grant, Refusal):
                self._give_back(taken)
                return grant
            taken.append(grant)
        return self._admitted(demand, tuple(taken))

    def _admitted(self, demand: Demand, grants: tuple[object, ...]) -> Ticket:
        self._running += 1
        self._alone = demand.alone
        return Ticket(self, grants, alone=demand.alone)

    def _give_back(self, grants: Sequence[object]) -> None:
        for resource, grant in reversed(
            list(zip(self._resources[: len(grants)], grants, strict=True))
        ):
            resource.give_back(grant)

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            self._running -= 1
            if ticket.alone:
                self._alone = False
            self._give_back(ticket.grants)
        self._room()

    def _room(self) -> None:
        """Admit waiting attempts in the order of their arrival, then call `changed`."""
        with self._lock:
            blocked: set[object] = set()
            for waiter in tuple(self._waiters):
                if waiter.demand.kind in blocked:
                    continue
                answer = self._try(waiter.demand)
                if isinstance(answer, Refusal):
                    waiter.held = answer
                    if waiter.demand.alone:
                        break
                    blocked.add(waiter.demand.kind)
                else:
                    waiter.ticket = answer
                    self._waiters.remove(waiter)
                    waiter.woken.set()
            refused, self._refused = self._refused, False
        if refused:
            self.changed()
