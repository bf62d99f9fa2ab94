"""Runs a resolved sweep: starts server and workers, calls the flow, returns the summary."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from argus_tasks.base import interrupts
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.folders import file_errors_explained
from argus_tasks.planning.request import SweepRequest
from argus_tasks.runs.ledger.summary import RunSummary, SweepStopped
from argus_tasks.server.embedded import HeldServer, hold
from argus_tasks.server.profile import configured_api_url, configured_login
from argus_tasks.session.sweep_session import SweepSession, new_session

EMBEDDED = "embedded"
"""The name by which sessions record the embedded server, whose address changes."""

_SERVER_START_S = 180.0
"""Seconds for the server to answer; the first start creates a database, which may take a minute."""

Watch = Callable[[SweepSession], AbstractContextManager[None]]
Notice = Callable[[str], None]
Leave = Callable[[SweepSession], None]
_LOOK_S = 0.1
_MORE_S = 0.5
"""Seconds after the deadline of the stop: if it is still not over, something hangs."""


def launch(
    request: SweepRequest,
    *,
    watch: Watch = lambda _: nullcontext(),
    notice: Notice | None = None,
    leave: Leave | None = None,
) -> RunSummary:
    """Run the sweep; returns its summary, whether configs failed or not.

    The server and the workers start while Prefect is imported, for each takes a while. `leave` ends
    the process where a stop hangs past its deadline; with None nothing does. Errors: BadInput;
    SweepStopped (a KeyboardInterrupt) after a stop, once everything is recorded.
    """
    if sys.platform == "win32":
        raise ArgusTasksError("argus-tasks runs on Linux and macOS; on Windows, use WSL.")
    if not request.configs:
        return RunSummary(0, 0, 0, 0, 0.0)
    inside = _inside_a_flow()
    with _server(inside, notice) as held:
        session = new_session(request, held.address() if held else None)
        with (
            interrupts.listening(session.stops.on_signal),
            leaving_at_the_deadline(session, leave),
        ):
            try:
                session.warm()
                with _no_garbage():
                    from argus_tasks.flows.call import call_sweep
                with interrupts.raising():
                    session.check()
                with watch(session), interrupts.raising():
                    _call(call_sweep, session, held, inside)
            except KeyboardInterrupt:
                if not session.stops.interrupted:
                    raise
            finally:
                session.close()
    if session.stops.interrupted:
        raise SweepStopped(session.stopped_by, session.summary(), session.stops.signal)
    return session.summary()


def _call(
    call_sweep: Callable[..., None], session: SweepSession, held: HeldServer | None, inside: bool
) -> None:
    # Passed explicitly: Prefect, once imported, does not read the environment again.
    url = held.api_url if held else None if inside else configured_api_url()
    if held is None:
        call_sweep(session, url, configured_login())
        return
    held.wait_healthy(_SERVER_START_S, stopping=lambda: session.stopping)
    if not session.stopping:
        revive = partial(_revive, held)
        call_sweep(session, url, held.login, server=EMBEDDED, revive_server=revive)


def _revive(held: HeldServer) -> bool:
    if held.is_alive():
        return False
    held.revive()
    return True


@contextmanager
def _server(inside: bool, notice: Notice | None) -> Iterator[HeldServer | None]:
    """The embedded server; None where the user has configured one, or calls within a flow run."""
    if inside or configured_api_url() is not None:
        yield None
        return
    with file_errors_explained():
        held = hold(notice=notice)
    with held:
        environment = held.address()
        # Without PREFECT_API_URL: Prefect reads it once at import and would keep it after the
        # server ends.
        added = {name: environment[name] for name in environment if "proxy" in name.lower()}
        added |= {"DO_NOT_TRACK": os.environ.get("DO_NOT_TRACK", "1")}
        before = {name: os.environ.get(name) for name in added}
        os.environ.update(added)
        try:
            yield held
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


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


@contextmanager
def _no_garbage() -> Iterator[None]:
    """A context without garbage collection: importing Prefect is then 10 % faster, for its objects
    stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _inside_a_flow() -> bool:
    if "prefect" not in sys.modules:
        return False
    from argus_tasks.flows.call import inside_a_flow

    return inside_a_flow()
