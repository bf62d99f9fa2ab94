"""Stops a session where one of its rules says so."""

from __future__ import annotations

import threading
from collections.abc import Callable

from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.runs.record.layout import FAILED, SUCCEEDED
from argus_tasks.spec.quantities import time_text
from argus_tasks.spec.sections import Stop
from argus_tasks.workers.attempts.messages import Outcome


class StopRuleMonitor:
    """Watches a session's runs end, and stops it where a rule says so; safe from many threads.

    Args:
        rules: the rules.
        total: how many configs the sweep has.
        stop: called with the name of the rule that stops the sweep.

    Attributes:
        reason: the rule and what it has seen: `max_failures: 10 of 200 failed`; empty before.
    """

    def __init__(self, rules: Stop, total: int, stop: Callable[[str], None]) -> None:
        self.reason = ""
        self._rules = rules
        self._total = total
        self._stop = stop
        self._most = rules.most_failures(total)
        self._lock = threading.Lock()
        self._failed = 0
        self._in_a_row = 0
        self._clock: threading.Timer | None = None

    def start(self) -> None:
        """The session starts: its time runs."""
        runtime_s = self._rules.runtime_s()
        if runtime_s is None:
            return
        seen = f"its {time_text(runtime_s)} are over"
        self._clock = threading.Timer(runtime_s, self.say, ("max_runtime", seen))
        self._clock.daemon = True
        self._clock.start()

    def close(self) -> None:
        """The session is over: its time runs no more."""
        if self._clock is not None:
            self._clock.cancel()

    def ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """A run has ended for good. One that a stop has cut counts as neither."""
        ending = outcome.ending
        if ending.resumable:
            return
        with self._lock:
            if ending.status == SUCCEEDED:
                self._in_a_row = 0
            if ending.status != FAILED:
                return
            self._failed += 1
            self._in_a_row += 1
            failed, row = self._failed, self._in_a_row
        if self._rules.fail_fast:
            self.say("fail_fast", f"{run.name} failed")
        elif self._most is not None and failed >= self._most:
            self.say("max_failures", f"{failed} of {self._total} failed")
        elif row == self._rules.max_consecutive_failures:
            self.say("max_consecutive_failures", f"{row} failed one after the other")

    def say(self, rule: str, seen: str) -> bool:
        """This rule stops the sweep, by what it has seen; False where one has already."""
        with self._lock:
            if self.reason:
                return False
            self.reason = f"{rule}: {seen}"
        self._stop(rule)
        return True
