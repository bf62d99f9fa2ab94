"""Ends the process when a stop hangs past its deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argus_tasks.session.sweep_session import SweepSession

Leave = Callable[[SweepSession], None]

_LOOK_S = 0.1
_MORE_S = 0.5
"""Seconds after the deadline of the stop: if it is still not over, something hangs."""


@contextmanager
def leaving_at_the_deadline(session: SweepSession, leave: Leave | None) -> Iterator[None]:
    """A context in which a thread calls `leave` when a stopped session has not ended by its
    deadline. Runs that are still running are killed first."""
    if leave is None:
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            if session.stops.interrupted and session.stops.deadline.left_s() <= 0:
                if over.wait(_MORE_S):
                    return
                session.end_workers(now=True)
                leave(session)

    threading.Thread(target=look, name="argus-backstop", daemon=True).start()
    try:
        yield
    finally:
        over.set()
