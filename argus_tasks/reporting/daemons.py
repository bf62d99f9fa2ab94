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
    """An interval in seconds; None where it is turned off.

    Args:
        name: the argument's name, for the message.
        value: True for the default, False for off, or seconds.
        default_s: the default.

    Raises:
        BadInput: the value is none of these.
    """
    if value is True:
        return default_s
    if value is False or value is None:
        return None
    number = float(value) if isinstance(value, int | float) else math.nan
    if not number >= 0 or math.isinf(number):
        raise BadInput(f"{name} is {value!r}; expected True, False or a number of seconds.")
    return number or None


class Daemon:
    """A daemon thread that calls a function repeatedly until `end` is called."""

    def __init__(
        self,
        name: str,
        first_s: float,
        step: Callable[[], float],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the thread; `start` starts it.

        Args:
            name: the thread's name.
            first_s: seconds before the first call.
            step: called repeatedly; returns the seconds before the next call.
            close: called once when the thread ends.
        """
        self._close = guarded(default=None)(close)
        self._step = guarded(default=max(first_s, 1.0))(step)
        self._first_s = first_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Have the thread end, without waiting for it."""
        self._end.set()

    def _run(self) -> None:
        pause_s = self._first_s
        while not self._end.wait(pause_s):
            pause_s = self._step()
        self._close()


def heartbeat(every_s: float, beat: Callable[[], None]) -> Daemon:
    """A thread that calls `beat` every `every_s` seconds, to report that the batch is alive."""

    def step() -> float:
        beat()
        return every_s

    return Daemon("argus-heartbeat", every_s, step)


def snapshots(every_s: float, send: Callable[[dict[str, Any]], None]) -> Daemon:
    """A thread that passes the machine's resource use to `send` every `every_s` seconds."""
    probe: list[Probe] = []

    def step() -> float:
        if not probe:
            # CPU use is measured between two readings, so the first one only starts it.
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
    """A thread that asks the server every `every_s` seconds whether a stop was requested.

    Args:
        every_s: the interval in seconds.
        opened: whether the server has accepted `batch_start`. Before that the server would answer
            for the session before, so it is not asked.
        transport: opens a connection to the server.
        batch_id: the batch.
        stop: called with the name of the person who requested the stop.
    """
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
    """Whether the answer requests a stop: status 200 with `requested` or `stop_requested` true."""
    if answer.status != 200 or not isinstance(answer.body, dict):
        return False
    return answer.body.get("requested") is True or answer.body.get("stop_requested") is True
