"""A cancel from Prefect's UI or API, seen by the flow run itself.

Prefect tells a flow that a script has called nothing of it: the server says Cancelling, and waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from argus_tasks.orchestration.prefect_api.prefect_server import (
    PrefectServer,
    ServerAway,
    asked_once,
)

ASK_EVERY_S = 2.0


@contextmanager
def watching_for_cancel(flow_run_id: UUID, cancelled: Callable[[], None]) -> Iterator[None]:
    """Within, call `cancelled`, from a thread and once, when the flow run is to be cancelled."""
    over = threading.Event()

    def ask() -> None:
        with asked_once(PrefectServer()) as server:
            while not over.wait(ASK_EVERY_S):
                if _is_cancelling(server, flow_run_id):
                    cancelled()
                    return

    context = copy_context()  # with the caller's Prefect settings
    threading.Thread(
        target=context.run, args=(ask,), name="argus-tasks-cancel", daemon=True
    ).start()
    try:
        yield
    finally:
        over.set()


def _is_cancelling(server: PrefectServer, flow_run_id: UUID) -> bool:
    try:
        return server.flow_run_state(flow_run_id) == "CANCELLING"
    except ServerAway:
        return False
