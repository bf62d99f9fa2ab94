"""Who holds which ticket, from the first attempt's, taken for it, to the last one's end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from argus_tasks.sweep.admission.gate import Gate, Ticket
from argus_tasks.sweep.admission.resource import Demand, Resource
from argus_tasks.sweep.admission.waiting import Waiting
from argus_tasks.sweep.plan import PlannedRun


class Admission:
    """A session's gate, and the tickets of its configs.

    Attributes:
        gate: where every attempt starts.
        waiting: the configs that have not been started yet.

    Args:
        runs: the configs that are to be run, in the order of their start.
        stopping: True once nothing more is to be started.
        resources: what an attempt may have to wait for.
        set_aside: True for a config that is not to be started, as things stand.
        alone: True for a config whose next attempt is to have the machine alone.
    """

    def __init__(
        self,
        runs: list[PlannedRun],
        stopping: Callable[[], bool],
        resources: Sequence[Resource] = (),
        *,
        set_aside: Callable[[int], bool] = lambda _: False,
        alone: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._runs = {run.index: run for run in runs}
        self._stopping = stopping
        self._tickets: dict[int, Ticket] = {}
        self._alone = alone
        self.gate = Gate(resources)
        self.waiting = Waiting(runs, self.demand, set_aside)

    def demand(self, run: PlannedRun) -> Demand:
        """What the config's next attempt asks for."""
        return Demand(run.index, alone=self._alone(run.index))

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
