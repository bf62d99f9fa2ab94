"""Who has stopped a sweep, how much of a hurry there is, and how long its end may take."""

from __future__ import annotations

import os
from collections.abc import Callable
from signal import SIGHUP, SIGTERM

from argus_tasks.session.end_deadline import EndDeadline
from argus_tasks.workers.attempts.stop_flag import RULES, StopFlag

MOST_GRACE_UNDER_A_RUNNER_S = 20.0
"""Prefect's runner kills a flow run 30 s after it has asked it to stop."""


class StopState:
    """Whether one session is being stopped. `on_signal` is for signal handlers: it takes no lock.

    Args:
        grace_s: how long experiments have to end by themselves after a stop.
        on_stop: called at each `stop`, but not from a handler of signals.

    Attributes:
        flag: what workers see.
        interrupted: somebody has stopped the sweep, not (only) one of its rules.
        hurried: a second interrupt has come: no grace any more.
        signal: the first signal that has come; None where none has.
        grace_s: the grace, or what Prefect's runner leaves of it.
        deadline: what is waited for at the end, is waited for until then.
    """

    def __init__(self, grace_s: float, on_stop: Callable[[], None] = lambda: None) -> None:
        self.flag = StopFlag()
        self.interrupted = False
        self.hurried = False
        self.signal: int | None = None
        self.grace_s = min(grace_s, MOST_GRACE_UNDER_A_RUNNER_S) if _under_a_runner() else grace_s
        self.deadline = EndDeadline(self.grace_s)
        self._on_stop = on_stop

    def stop(self, by: str) -> None:
        """Start nothing new and let the experiments know; the first who asks is named."""
        self._set(by)
        self._on_stop()

    def hurry(self) -> None:
        """Take away the grace, and wait for hardly anything at the end."""
        self.hurried = True
        self.deadline.hurried()

    def on_signal(self, number: int) -> None:
        """Stop for a SIGINT, a SIGTERM or a SIGHUP. A second one of the first two hurries; a
        terminal that closes may send several of the last."""
        if self.signal is None:
            self.signal = number
        elif number != SIGHUP:
            self.hurry()
        by_runner = number == SIGTERM and _under_a_runner()
        self._set("Prefect" if by_runner else "user")

    def _set(self, by: str) -> None:
        if by not in RULES and not self.interrupted:
            self.deadline.stopped()
            self.interrupted = True
        self.flag.set(by)


def _under_a_runner() -> bool:
    """Whether Prefect's runner has started this process, and cancels it by a SIGTERM."""
    return "PREFECT__FLOW_RUN_ID" in os.environ
