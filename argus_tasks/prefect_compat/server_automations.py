"""Makes the embedded server read events for automations only while there are any.

Prefect parses each event and puts it in order for automations, whether one exists or not.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from argus_tasks.prefect_compat.hook import PROVEN, Hook

TRIGGERS = "prefect.server.events.triggers"


def watch_only_if_wanted() -> bool:
    """Called in the server's process when Prefect's application is loaded and not yet started.

    False where this Prefect watches otherwise: then it reads every event.
    """
    watching: Any = sys.modules.get(TRIGGERS)
    watch = getattr(watching, "consumer", None)
    automations = getattr(watching, "automations_by_id", None)
    if not callable(watch) or not isinstance(automations, dict):
        return False

    @asynccontextmanager
    async def watch_if_wanted(*args: Any, **words: Any) -> AsyncIterator[Any]:
        async with watch(*args, **words) as handle:

            async def handle_if_wanted(message: Any) -> None:
                # looked up each time, for Prefect may replace the table
                if watching.automations_by_id:
                    await handle(message)

            yield handle_if_wanted

    watching.consumer = watch_if_wanted
    return True


def _probe() -> str | None:
    watching: Any = import_module(TRIGGERS)
    if not callable(getattr(watching, "consumer", None)):
        return "its automations read events differently"
    if not isinstance(getattr(watching, "automations_by_id", None), dict):
        return "it keeps its automations elsewhere"
    return None


HOOK = Hook(
    name="server: automations",
    does="has the embedded server read events for automations only while there are any",
    without="it parses every event for them",
    gain="0.3 ms of the server's CPU a run (3.8.8)",
    proven=PROVEN,
    probe=_probe,
)
