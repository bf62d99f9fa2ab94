"""What follows from runs that fail: a rule stops the sweep, the breaker holds configs back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.session.breaker import Blame, Breaker
from argus_tasks.session.stop_rule_monitor import StopRuleMonitor
from argus_tasks.spec.sections import Stop
from argus_tasks.workers.attempts.messages import Outcome

log = logging.getLogger("argus_tasks")


class Rules:
    """The stop rules and the breaker of one session; safe to use from many threads.

    Args:
        rules: what the sweep file says of them.
        runs: all configs of the sweep.
        stop: called with the name of the rule that stops the sweep.
    """

    def __init__(
        self,
        rules: Stop,
        runs: Sequence[PlannedRun],
        stop: Callable[[str], None],
    ) -> None:
        self._monitor = StopRuleMonitor(rules, len(runs), stop)
        self._breaker = Breaker(rules.breaker, runs)
        self._logged: set[tuple[str, ...]] = set()

    @property
    def reason(self) -> str:
        """Which rule has stopped the sweep, and what it has seen; empty where none has."""
        return self._monitor.reason

    def start(self) -> None:
        """Start the clock of `max_runtime`."""
        self._monitor.start()

    def close(self) -> None:
        """Stop that clock: nothing more will run."""
        self._monitor.close()

    def say(self, rule: str, seen: str) -> bool:
        """Stop the sweep by a rule that is not in the sweep file, with what it has seen; False
        where a rule has stopped it already."""
        return self._monitor.say(rule, seen)

    def ended(self, run: PlannedRun, outcome: Outcome) -> bool:
        """Take in a run that has ended for good; True where the breaker now holds more back."""
        self._monitor.ended(run, outcome)
        self._breaker.ended(run, outcome)
        new = [each for each in self._breaker.blames(()) if each.values not in self._logged]
        for blame in new:
            self._logged.add(blame.values)
            log.warning("the breaker holds what has %s", blame.accusation)
        return bool(new)

    def holds(self, index: int) -> bool:
        """True where the breaker holds this config back, as things stand."""
        return self._breaker.holds(index)

    def blames(self, left: Iterable[int]) -> list[Blame]:
        """The values for which the breaker holds back some of the configs that are left."""
        held = [index for index in left if self.holds(index)]
        return [blame for blame in self._breaker.blames(held) if blame.held]
