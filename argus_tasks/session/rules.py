"""What a session's endings lead to: a stop by one of the rules, configs held by the breaker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.session.breaker import Blame, Breaker
from argus_tasks.session.progress import Ended
from argus_tasks.session.stop_rule_checks import Referee
from argus_tasks.spec.sections import Stop

log = logging.getLogger("argus_tasks")


class Rules:
    """A session's rules and breaker; safe from many threads.

    Attributes:
        on_blame: called when the breaker begins to hold configs back.
    """

    def __init__(
        self,
        rules: Stop,
        runs: Sequence[PlannedRun],
        stop: Callable[[str], None],
    ) -> None:
        self._referee = Referee(rules, len(runs), stop)
        self._breaker = Breaker(rules.breaker, runs)
        self.on_blame: Callable[[], None] = lambda: None
        self._told: set[tuple[str, ...]] = set()

    @property
    def reason(self) -> str:
        """Which rule has stopped the sweep, and what it has seen; empty where none has."""
        return self._referee.reason

    def start(self) -> None:
        """The session starts."""
        self._referee.start()

    def close(self) -> None:
        """Nothing more will run."""
        self._referee.close()

    def say(self, rule: str, told: str) -> bool:
        """A rule that is none of these stops the sweep, by what it has seen; False where one has
        already."""
        return self._referee.say(rule, told)

    def ended(self, news: Ended) -> None:
        """A run has ended for good."""
        self._referee.ended(news)
        self._breaker.ended(news)
        for blame in self._breaker.blames(()):
            if blame.values not in self._told:
                self._told.add(blame.values)
                log.warning("the breaker holds what has %s", blame.accusation)
                self.on_blame()

    def holds(self, index: int) -> bool:
        """True where the breaker holds this config back, as things stand."""
        return self._breaker.holds(index)

    def blames(self, left: Iterable[int]) -> list[Blame]:
        """Why the breaker holds which of the configs that are left."""
        held = [index for index in left if self.holds(index)]
        return [blame for blame in self._breaker.blames(held) if blame.held]
