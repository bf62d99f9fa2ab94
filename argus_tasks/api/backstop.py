"""The end of a stop that does not come to its end: whatever hangs, the process leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argus_tasks.session.sweep_session import SweepSession

Leave = Callable[[SweepSession], None]

_LOOK_S = 0.1
_MORE_S = 0.5
"""Past the deadline of all that is waited for: something else hangs."""


@contextmanager
def leaving_at_the_deadline(session: SweepSession, leave: Leave | None) -> Iterator[None]:
    """Within, call `leave` from a thread where somebody has stopped the session and its end takes
    longer than all that it waits for may. What still runs has been killed then."""
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
