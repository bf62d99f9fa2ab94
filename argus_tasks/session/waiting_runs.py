"""The queue of configs that wait for their first attempt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count

from argus_tasks.admission.gate import Gate, Ticket
from argus_tasks.admission.resource import Demand, Refusal
from argus_tasks.planning.sweep_plan import PlannedRun


class WaitingRuns:
    """Configs in the order in which they shall start, grouped by what they ask for.

    What one config of a group is refused, the whole group is: only the first of each is asked.

    Args:
        runs: the configs.
        demand_of: what one asks for.
        set_aside: True for one that is not to be started, as things stand; it is looked at again
            when all others have been started.
    """

    def __init__(
        self,
        runs: Iterable[PlannedRun],
        demand_of: Callable[[PlannedRun], Demand],
        set_aside: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._groups: dict[object, deque[tuple[int, PlannedRun, Demand]]] = {}
        self._demand_of = demand_of
        self._is_set_aside = set_aside
        self._set_aside: list[PlannedRun] = []
        self._places = count()
        for run in runs:
            self.add(run)
        self.holding: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, list(self._groups.values())))

    def demands(self) -> list[tuple[Demand, int]]:
        """What the waiting configs ask for, each with how many ask for it."""
        found = []
        for group in list(self._groups.values()):
            with suppress(IndexError):  # the flow's thread has just taken its last
                found.append((group[0][2], len(group)))
        return found

    def __bool__(self) -> bool:
        return bool(self._groups) or not all(
            self._is_set_aside(run.index) for run in self._set_aside
        )

    def add(self, run: PlannedRun) -> None:
        """Add a config at the end."""
        demand = self._demand_of(run)
        self._groups.setdefault(demand.kind, deque()).append((next(self._places), run, demand))

    def take(self, gate: Gate) -> tuple[PlannedRun, Ticket] | None:
        """The first config that the gate admits, with its ticket; None where none may start now.

        `holding` then says why those before it were refused.
        """
        refusals: list[str] = []
        found = None
        if not self._groups:
            again, self._set_aside = self._set_aside, []
            for run in again:
                self.add(run)
        for group in self._in_order():
            while group and self._is_set_aside(group[0][1].index):
                self._set_aside.append(group.popleft()[1])
            if not group:
                continue
            _, run, demand = group[0]
            answer = gate.try_enter(demand)
            if isinstance(answer, Refusal):
                refusals.append(answer.reason)
                continue
            group.popleft()
            found = (run, answer)
            break
        self._groups = {kind: group for kind, group in self._groups.items() if group}
        self.holding = tuple(dict.fromkeys(refusals))
        return found

    def _in_order(self) -> list[deque[tuple[int, PlannedRun, Demand]]]:
        groups = list(self._groups.values())
        if len(groups) > 1:
            groups.sort(key=lambda group: group[0][0])
        return groups
