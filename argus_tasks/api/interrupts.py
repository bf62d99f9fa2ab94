"""Ctrl-C during a sweep: the first one stops it gracefully, the second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from argus_tasks.sweep.session import SweepSession


@contextmanager
def ctrl_c_stops(session: SweepSession) -> Iterator[None]:
    """Take SIGINT where it is ours to take: in the main thread, with nobody else's handler.

    A sequential sweep runs the experiment in this very thread, so there the experiment gets the
    KeyboardInterrupt.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        session.hurried = session.stopping
        session.stop("user")
        if session.request.mode == "sequential":
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
