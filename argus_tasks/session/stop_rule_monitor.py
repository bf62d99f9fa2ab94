"""The stop rules: after too many failures, or too much time, a sweep stops itself."""

from __future__ import annotations

import threading
from collections.abc import Callable

from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.runs.record.layout import FAILED, SUCCEEDED
from argus_tasks.spec.quantities import time_text
from argus_tasks.spec.sections import Stop
from argus_tasks.workers.attempts.messages import Outcome


class StopRuleMonitor:
    """Counts runs as they end and stops the sweep where a rule says so; thread-safe.

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
        """Start the clock of `max_runtime`."""
        runtime_s = self._rules.runtime_s()
        if runtime_s is None:
            return
        seen = f"its {time_text(runtime_s)} are over"
        self._clock = threading.Timer(runtime_s, self.say, ("max_runtime", seen))
        self._clock.daemon = True
        self._clock.start()

    def close(self) -> None:
        """Stop that clock."""
        if self._clock is not None:
            self._clock.cancel()

    def ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """Count a run that has ended for good; one that a stop has cut counts as nothing."""
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
        """Stop the sweep by this rule, with what it has seen; False where a rule already has."""
        with self._lock:
            if self.reason:
                return False
            self.reason = f"{rule}: {seen}"
        self._stop(rule)
        return True
