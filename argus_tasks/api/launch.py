"""A resolved sweep, from nothing started to its summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from argus_tasks.api.interrupts import ctrl_c_stops
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.runs.summary import RunSummary, SweepStopped
from argus_tasks.server.embedded import hold
from argus_tasks.server.profile import configured_api_url
from argus_tasks.sweep.request import SweepRequest
from argus_tasks.sweep.session import SweepSession

Watch = Callable[[SweepSession], AbstractContextManager[None]]
Notice = Callable[[str], None]


def launch(
    request: SweepRequest,
    *,
    watch: Watch = lambda _: nullcontext(),
    notice: Notice | None = None,
) -> RunSummary:
    """Run the sweep and say what it came to, whether its configs succeeded or not.

    The server and the workers are started before Prefect is imported: all three take a while.
    Errors: BadInput; SweepStopped (a KeyboardInterrupt) after a stop, once all is settled.
    """
    if sys.platform == "win32":
        raise ArgusTasksError("argus-tasks runs on Linux and macOS; on Windows, use WSL.")
    session = SweepSession(request)
    if not session.plan.runs:
        session.close()
        return session.summary()
    with _prefect_api(notice) as api_url:
        session.warm()
        try:
            session.check()
            from argus_tasks.flows.call import call_sweep

            with ctrl_c_stops(session), watch(session):
                call_sweep(session, api_url)
        finally:
            session.close()
    if session.stopping:
        raise SweepStopped(session.stopped_by, session.summary())
    return session.summary()


@contextmanager
def _prefect_api(notice: Notice | None) -> Iterator[str | None]:
    """The address of the server to use where none is configured: the embedded one's."""
    if configured_api_url() is not None or _inside_a_flow():
        yield None
        return
    held = hold(notice=notice)
    try:
        yield held.api_url
    finally:
        held.release()


def _inside_a_flow() -> bool:
    if "prefect" not in sys.modules:
        return False
    from argus_tasks.flows.call import inside_a_flow

    return inside_a_flow()
