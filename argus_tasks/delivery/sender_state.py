"""The state of the sender: sending or waiting, why, and until when."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from argus_tasks.base.files import read_json, write_json

log = logging.getLogger("argus_tasks")

_BACKOFF_FIRST_S = 0.25
_BACKOFF_LAST_S = 30.0
_PARKED_S = 30.0
_FILE = "sender.json"


@dataclass
class SenderState:
    """The state of a sender, for people and for other processes.

    Attributes:
        state: idle, sending, waiting, parked or asked to wait.
        reason: why it does not send.
        since: when the state began, in seconds since the epoch.
        retry_at: when it tries again, in seconds since the epoch.
        pid: the sender's process.
    """

    state: str = "idle"
    reason: str = ""
    since: float = field(default_factory=time.time)
    retry_at: float = 0.0
    pid: int = field(default_factory=os.getpid)


def read_state(folder: Path) -> SenderState | None:
    """The last state of an outbox's sender; None where its file is missing or damaged."""
    try:
        stored = read_json(folder / _FILE)
        kinds = {one.name: type(getattr(SenderState(), one.name)) for one in fields(SenderState)}
        return SenderState(**{name: kind(stored[name]) for name, kind in kinds.items()})
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Backoff:
    """The pauses of a sender whose requests fail, its state, and its warnings, each logged once."""

    def __init__(
        self, folder: Path, monotonic: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._jitter = jitter
        self._failures = 0
        self._warned: set[str] = set()
        self._not_before = 0.0
        self.failing_since: float | None = None
        self.state = SenderState()

    def wait_s(self) -> float:
        """How many seconds are left of the pause; 0 where there is none."""
        return max(self._not_before - self._monotonic(), 0.0)

    def retry_now(self, *, even_parked: bool = False) -> None:
        """End the pause, unless the server has asked for it."""
        if self.state.state == "waiting" or (even_parked and self.state.state == "parked"):
            self._not_before = 0.0

    def succeeded(self) -> None:
        """Record that events were delivered."""
        self._failures = 0
        self._not_before = 0.0
        self.failing_since = None
        if self.state.state != "sending":
            if self.state.state in ("parked", "waiting"):
                log.info("argus-tasks: events are delivered again")
            self._warned.clear()
            self._write(SenderState("sending"))

    def idle(self) -> None:
        """Record that no event waits."""
        if self.state.state not in ("idle", "parked"):
            self._write(SenderState())

    def failed(self, reason: str, asked_s: float | None) -> None:
        """Record a failed request and start a pause: that of the server, else a growing one."""
        self._failures += 1
        self._failing()
        pause_s = min(_BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 16), _BACKOFF_LAST_S)
        pause_s *= 0.5 + self._jitter() / 2
        if asked_s is not None:
            pause_s = asked_s + 0.05 * self._jitter()
        self._not_before = self._monotonic() + pause_s
        self.warn(f"events wait: {reason}")
        state = SenderState("asked to wait" if asked_s is not None else "waiting", reason)
        self._write(state, retry_in_s=pause_s)

    def parked(self, reason: str) -> None:
        """Record that requests are refused until a person changes something, and start a pause."""
        self._not_before = self._monotonic() + _PARKED_S
        self._failing()
        self.warn(reason)
        self._write(SenderState("parked", reason), retry_in_s=_PARKED_S)

    def warn(self, reason: str) -> None:
        """Log a warning, once until events are delivered again."""
        if reason not in self._warned:
            level = logging.WARNING if not self._warned else logging.INFO
            self._warned.add(reason)
            log.log(level, "argus-tasks: %s", reason)

    def _failing(self) -> None:
        if self.failing_since is None:
            self.failing_since = self._monotonic()

    def _write(self, state: SenderState, *, retry_in_s: float = 0.0) -> None:
        state.retry_at = time.time() + retry_in_s if retry_in_s else 0.0
        if state.state == self.state.state:
            state.since = self.state.since
        self.state = state
        with suppress(OSError):
            write_json(self._folder / _FILE, asdict(state))
