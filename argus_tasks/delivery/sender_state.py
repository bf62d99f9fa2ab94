"""How the sender stands with its server: sending, or waiting, and for how long."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
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
    """How the sender stands, for people and for other processes."""

    state: str = "idle"
    reason: str = ""
    since: float = field(default_factory=time.time)
    retry_at: float = 0.0
    pid: int = field(default_factory=os.getpid)


def read_state(folder: Path) -> SenderState | None:
    """What the last sender of an outbox has told; None where that cannot be read."""
    try:
        told = read_json(folder / _FILE)
        kinds = {one.name: type(getattr(SenderState(), one.name)) for one in fields(SenderState)}
        return SenderState(**{name: kind(told[name]) for name, kind in kinds.items()})
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Backoff:
    """Pauses that grow, and what people are told, each thing once."""

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
        """How long the server asked us, or we have chosen, to wait; 0 where nothing holds us."""
        return max(self._not_before - self._monotonic(), 0.0)

    def retry_now(self, *, even_parked: bool = False) -> None:
        """Do not wait out a back-off of our own; what the server asked for is kept."""
        if self.state.state == "waiting" or (even_parked and self.state.state == "parked"):
            self._not_before = 0.0

    def works(self) -> None:
        """Events are delivered."""
        self._failures = 0
        self._not_before = 0.0
        self.failing_since = None
        if self.state.state != "sending":
            if self.state.state in ("parked", "waiting"):
                log.info("argus-tasks: events are delivered again")
            self._warned.clear()
            self._tell(SenderState("sending"))

    def rests(self) -> None:
        """Nothing waits."""
        if self.state.state not in ("idle", "parked"):
            self._tell(SenderState())

    def fails(self, reason: str, asked_s: float | None) -> None:
        """Try again after a pause: the one asked for, else one that grows."""
        self._failures += 1
        self._failing()
        pause_s = min(_BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 16), _BACKOFF_LAST_S)
        pause_s *= 0.5 + self._jitter() / 2
        if asked_s is not None:
            pause_s = asked_s + 0.05 * self._jitter()
        self._not_before = self._monotonic() + pause_s
        self.warn(f"events wait: {reason}")
        state = SenderState("asked to wait" if asked_s is not None else "waiting", reason)
        self._tell(state, retry_in_s=pause_s)

    def parks(self, reason: str) -> None:
        """A person has to do something first."""
        self._not_before = self._monotonic() + _PARKED_S
        self._failing()
        self.warn(reason)
        self._tell(SenderState("parked", reason), retry_in_s=_PARKED_S)

    def warn(self, reason: str) -> None:
        """Say it, once until events are delivered again."""
        if reason not in self._warned:
            level = logging.WARNING if not self._warned else logging.INFO
            self._warned.add(reason)
            log.log(level, "argus-tasks: %s", reason)

    def _failing(self) -> None:
        if self.failing_since is None:
            self.failing_since = self._monotonic()

    def _tell(self, state: SenderState, *, retry_in_s: float = 0.0) -> None:
        state.retry_at = time.time() + retry_in_s if retry_in_s else 0.0
        if state.state == self.state.state:
            state.since = self.state.since
        self.state = state
        try:
            write_json(self._folder / _FILE, asdict(state))
        except OSError:
            pass
