"""A session's gate and all that waits there: who holds which ticket, and why others do not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

from argus_tasks.admission.cpu import CpuRoom
from argus_tasks.admission.gate import Gate, Ticket
from argus_tasks.admission.resource import Demand, Resource
from argus_tasks.admission.shared_slots import LimitSlots, NamedLimits
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.session.machine_resources import machine_resources
from argus_tasks.session.retry_delays import RetryDelays
from argus_tasks.session.waiting_runs import WaitingRuns
from argus_tasks.spec.named_limits import required_slots


class AdmissionQueue:
    """A session's gate, and the tickets of its configs.

    Args:
        request: what was asked for.
        runs: the configs that are to be run, in the order of their start.
        stopping: whether nothing new is to start.
        tree: the process that all experiments come from; None while there is none.
        set_aside: True for a config that is not to be started, as things stand.
        alone: True for a config whose next attempt is to have the machine alone.

    Attributes:
        gate: where every attempt starts.
        waiting: the configs that have not been started yet.
        retry_delays: the waits of configs for their next try.
        changes: gets None when a config may start that could not before; the loop that submits
            configs waits there.
        cpu: the CPU, in mode `dynamic`.
        slots: those of each named limit.
        resources: all that an attempt may have to wait for.
    """

    def __init__(
        self,
        request: SweepRequest,
        runs: Sequence[PlannedRun],
        stopping: Callable[[], bool],
        tree: Callable[[], int | None] = lambda: None,
        *,
        set_aside: Callable[[int], bool] = lambda _: False,
        alone: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._request = request
        self._runs = {run.index: run for run in runs}
        self._stopping = stopping
        self._tickets: dict[int, Ticket] = {}
        self._alone = alone
        self.changes: SimpleQueue[Any] = SimpleQueue()
        changed = partial(self.changes.put, None)
        self.retry_delays = RetryDelays(request.retry, changed)
        self.waiting = WaitingRuns(runs, self.demand, set_aside)
        self.slots = tuple(
            LimitSlots(name, limit.limit, partial(self._wanted, name))
            for name, limit in request.spec.limits.items()
        )
        named: list[Resource] = [NamedLimits(self.slots)] if self.slots else []
        self.resources = [*named, *machine_resources(request)]
        self.cpu: CpuRoom | None = None
        if request.execution.mode == "dynamic":
            self.cpu = CpuRoom(
                request.execution.cpu_limit or default_cpu_limit(),
                request.execution.cpu_threshold,
                request.workers,
                tree,
                self._startable,
            )
            self.resources.append(self.cpu)  # the last: what it admits does start
        self.gate = Gate(self.resources, changed)

    def open(self) -> None:
        """Start to look at the machine."""
        if self.cpu is not None and self._runs:
            self.cpu.open()

    def demand(self, run: PlannedRun) -> Demand:
        """What the config's next attempt asks for."""
        limits = required_slots(self._request.spec.limits, run.config)
        return Demand(run.index, limits, alone=self._alone(run.index))

    @property
    def holding(self) -> tuple[str, ...]:
        """Why configs that could start do not; empty where none is held."""
        return tuple(dict.fromkeys((*self.waiting.holding, *self.gate.holding)))

    def next(self) -> PlannedRun | None:
        """A config whose first attempt may start now; its ticket is kept for it."""
        found = self.waiting.take(self.gate)
        if found is None:
            return None
        run, ticket = found
        self._tickets[run.index] = ticket
        return run

    def turn_away(self, run: PlannedRun) -> None:
        """Give back the ticket of a config that `next` has named and that is not to be started."""
        self._tickets.pop(run.index).leave()

    @contextmanager
    def admitted(self, index: int) -> Iterator[Ticket | None]:
        """Hold the attempt's ticket: the one taken for it, else wait; None after a stop."""
        ticket = self._tickets.get(index)
        if ticket is None:
            ticket = self.gate.enter(self.demand(self._runs[index]), self._stopping)
            if ticket is None:
                yield None
                return
            self._tickets[index] = ticket
        try:
            yield ticket
        finally:
            del self._tickets[index]
            ticket.leave()

    def ticket(self, index: int) -> Ticket | None:
        """What the config's attempt holds now."""
        return self._tickets.get(index)

    def _startable(self) -> int:
        left = len(self.waiting) + self.gate.running + self.gate.waiting
        return 0 if self._stopping() else min(self._request.workers, left)

    def _wanted(self, name: str) -> int:
        """How many slots of a limit the sweep could use at once."""
        if self._stopping():
            return 0
        slots, attempts = 0, 0
        for demand, count in self.waiting.demands():
            slots = dict(demand.limits).get(name, 0) or slots
            attempts += count if name in dict(demand.limits) else 0
        for index in (*list(self._tickets), *(each.index for each in self.gate.demands())):
            taken = dict(self.demand(self._runs[index]).limits).get(name, 0)
            slots = taken or slots
            attempts += bool(taken)
        return slots * min(self._request.workers, attempts)


def default_cpu_limit() -> str:
    """The name of the limit that shows this host's CPU on Prefect's server."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname().lower())
    return f"argus-sweep-cpu-{host}"
