"""The CPU as a resource: how many runs fit, by the controller, or by a limit that a
person has set."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

from argus_tasks.admission.cpu_controller import Controller, Start
from argus_tasks.admission.cpu_usage import CpuMeter
from argus_tasks.admission.resource import Demand, Refusal, Resource
from argus_tasks.base.guard import guarded

READ_EVERY_S = 0.25
_SHARE_FOR_READING = 0.02
ASK_LIMIT_S = 5.0


class Rule(Enum):
    """What determines how many runs may be active."""

    ASKING = "unknown until Prefect's server has answered"
    CONTROLLER = "the controller"
    PERSON = "the value that a person has set on Prefect's server"
    OFF = "nothing: a person has disabled the limit"


class CpuRoom(Resource):
    """Holds back starts in mode `dynamic` while the CPUs are busy.

    `orchestration.limits` calls `set_rule` with what Prefect's server says. Without it, or if the
    server cannot be reached, the controller alone decides.

    Args:
        name: the name of the limit on Prefect's server that shows how many runs may be active, and
            is obeyed.
        threshold_pct: the threshold in percent; at 100, nothing is held back.
        workers: the largest number of active runs.
        root_pid: returns the process id of the common ancestor of all experiments.
        wanted: returns how many runs could be active now if they were not held back.
    """

    def __init__(
        self,
        name: str,
        threshold_pct: float,
        workers: int,
        root_pid: Callable[[], int | None],
        wanted: Callable[[], int],
    ) -> None:
        self.name = name
        self.wanted = wanted
        self.changed: Callable[[], None] = lambda: None
        self._meter = CpuMeter(root_pid)
        self._controller = Controller(threshold_pct, workers, self._meter.cores)
        self._bound = threshold_pct < 100
        self._workers = workers
        self._rule = Rule.ASKING
        self._asked_until: float | None = None
        self._most: int | None = None
        self._why = ""
        self._notify: Callable[[], None] = lambda: None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.running = 0

    @property
    def room(self) -> int:
        """The number of runs that the controller allows now."""
        return self._controller.allowed if self._bound else self._workers

    def open(self) -> None:
        """Start to measure."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="argus-cpu", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop to measure."""
        self._over.set()

    @property
    def rule(self) -> Rule:
        """The rule that holds now."""
        return self._rule

    def set_rule(self, rule: Rule, most: int | None, why: str) -> None:
        """Set the rule that holds from now on.

        Args:
            rule: the rule.
            most: the number of runs that it allows; None if it does not say.
            why: the reason that is shown for runs that it holds back.
        """
        before = (self._rule, self._most)
        self._rule, self._most, self._why = rule, most, why
        if (rule, most) != before:
            self._notify()

    def try_take(self, demand: Demand, running: int) -> object | Refusal:  # noqa: ARG002
        refused = self._refused(running)
        if refused is not None:
            return Refusal(refused)
        self.running += 1
        return self._controller.began()

    def give_back(self, grant: object) -> None:
        assert isinstance(grant, Start)
        self.running -= 1
        self._controller.ended(grant)
        if self._most is not None and self.running >= self._most:
            self.changed()

    def on_change(self, callback: Callable[[], None]) -> None:
        self._notify = callback

    def _refused(self, running: int) -> str | None:
        if self._rule is Rule.ASKING:
            if self._asked_until is None:
                self._asked_until = time.monotonic() + ASK_LIMIT_S
            if time.monotonic() < self._asked_until:
                return f"asking Prefect's server for {self.name}"
            self._rule = Rule.CONTROLLER
        if self._rule is Rule.OFF:
            return None
        if self._rule is Rule.PERSON:
            return None if running < (self._most or 0) else self._why
        room = self.room
        if running == 0 or (room >= self._workers and self._most is None):
            return None
        if self._most is not None and running >= self._most:
            return self._why
        return None if running < room else self._controller.reason

    def _watch(self) -> None:
        pause_s = 0.0 if self._bound else 1.0
        while not self._over.wait(pause_s):
            begun = time.monotonic()
            if self._bound:
                self._look()
            spent_s = time.monotonic() - begun
            pause_s = max(READ_EVERY_S, spent_s / _SHARE_FOR_READING)
            self._notify()

    @guarded(None)
    def _look(self) -> None:
        usage = self._meter.read()
        if usage is not None:
            self._controller.observe(usage)
