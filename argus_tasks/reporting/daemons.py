"""The reporter's three daemon threads: heartbeat, stop button, resource snapshots."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.guard import guarded
from argus_tasks.delivery.transport import Answer, Transport
from argus_tasks.reporting.probes import Probe

log = logging.getLogger("argus_tasks")

HEARTBEAT_S = 300.0
STOP_POLL_S = 10.0
SNAPSHOT_S = 30.0
_FIRST_SNAPSHOT_S = 1.0
_OPENING_S = 0.25


def interval_s(name: str, value: bool | float, default_s: float) -> float | None:
    """True is the default, False is off (None), a number is seconds. Errors: BadInput."""
    if value is True:
        return default_s
    if value is False or value is None:
        return None
    number = float(value) if isinstance(value, int | float) else math.nan
    if not number >= 0 or math.isinf(number):
        raise BadInput(f"{name} is {value!r}; expected True, False or a number of seconds.")
    return number or None


class Daemon:
    """A named daemon thread that calls a function until it is told to end."""

    def __init__(
        self,
        name: str,
        first_s: float,
        step: Callable[[], float],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._close = guarded(default=None)(close)
        self._step = guarded(default=max(first_s, 1.0))(step)
        self._first_s = first_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Tell the thread to end; it is not waited for."""
        self._end.set()

    def _run(self) -> None:
        pause_s = self._first_s
        while not self._end.wait(pause_s):
            pause_s = self._step()
        self._close()


def heartbeat(every_s: float, beat: Callable[[], None]) -> Daemon:
    """Says every `every_s` seconds that this batch lives."""

    def step() -> float:
        beat()
        return every_s

    return Daemon("argus-heartbeat", every_s, step)


def snapshots(every_s: float, send: Callable[[dict[str, Any]], None]) -> Daemon:
    """Sends what the machine and this process use."""
    probe: list[Probe] = []

    def step() -> float:
        if not probe:
            # CPU shares are differences: the first reading only begins one.
            probe.append(Probe())
            return min(every_s, _FIRST_SNAPSHOT_S)
        send(probe[0].read())
        return every_s

    return Daemon("argus-snapshots", 0.0, step)


def stop_poll(
    every_s: float,
    opened: Callable[[], bool],
    transport: Callable[[], Transport],
    batch_id: str,
    stop: Callable[[str], None],
) -> Daemon:
    """Asks the server whether the batch shall stop, from when the batch's opening is accepted:
    before, the answer would be the last session's."""
    connection: list[Transport] = []

    def step() -> float:
        if not opened():
            return min(every_s, _OPENING_S)
        if not connection:
            connection.append(transport())
        answer = connection[0].stop_requested(batch_id)
        if wants_stop(answer):
            body = answer.body
            stop(str(body.get("requested_by") or "the monitor"))
        return max(every_s, answer.retry_after_s or 0.0)

    def close() -> None:
        while connection:
            connection.pop().close()

    return Daemon("argus-stop", min(every_s, _OPENING_S), step, close)


def wants_stop(answer: Answer) -> bool:
    """Only a 200 that says so stops: `requested`, or `stop_requested`, true."""
    if answer.status != 200 or not isinstance(answer.body, dict):
        return False
    return answer.body.get("requested") is True or answer.body.get("stop_requested") is True
