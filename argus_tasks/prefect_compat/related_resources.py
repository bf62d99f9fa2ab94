"""The related resources of events (flow run, flow, deployment), requested once for each flow run.

It is Prefect's own answer: its events worker asks for it anew for each event.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack, suppress
from contextvars import Context
from importlib import import_module
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import Event, RelatedResource
from prefect.settings import get_current_settings

from argus_tasks.prefect_compat.hook import PROVEN, Hook
from argus_tasks.prefect_compat.settings_override import client_settings

CALL_LIMIT_S = 10.0
MOST = 100
"""The most related resources of an event where Prefect's settings do not say."""


class RelatedResources:
    """Adds related resources to events."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], list[RelatedResource]] = {}
        self._client: PrefectClient | None = None
        self._stack = AsyncExitStack()
        self._unknown = HOOK.stands_back() is not None

    async def attach(self, event: Event, context: Context) -> None:
        """Add them to the event, unless the event excludes them, and no more than the server
        accepts: it refuses an event with more."""
        if "prefect.resource.lineage-group" in event.resource:
            return
        key = context.run(_place, event)
        if key is None or self._unknown:
            return
        known = self._known.get(key)
        if known is None:
            if self._client is None:
                self._client = await self._stack.enter_async_context(
                    get_client(httpx_settings=client_settings(CALL_LIMIT_S))
                )
            known = await _ask(self._client, event, context)
            if len(self._known) > 100:
                self._known.clear()
            self._known[key] = known
        room = max(0, most_related() - len(event.related))
        event.related = [*event.related, *known[:room]]

    async def close(self) -> None:
        """Close the connection."""
        # The connection is no longer needed.
        with suppress(Exception):
            await asyncio.wait_for(self._stack.aclose(), 1)


def most_related() -> int:
    """The most related resources that Prefect's schema allows for an event."""
    events = getattr(get_current_settings().server, "events", None)
    return int(getattr(events, "maximum_related_resources", MOST))


async def _ask(client: PrefectClient, event: Event, context: Context) -> list[RelatedResource]:
    ask, within = _prefects()
    with within(context):
        found: list[RelatedResource] = await ask(
            client=client, exclude={resource.id for resource in event.involved_resources}
        )
    return found


def _place(event: Event) -> tuple[object, ...] | None:
    """A key of everything that an event's related resources depend on; None outside any run."""
    flow_context = FlowRunContext.get()
    task_context = TaskRunContext.get()
    flow_run = flow_context.flow_run if flow_context else None
    task_run = task_context.task_run if task_context else None
    if flow_run is None and task_run is None:
        return None
    own = task_run is not None and event.resource.id == f"prefect.task-run.{task_run.id}"
    return (
        flow_run.id if flow_run else None,
        task_run.flow_run_id if task_run else None,
        task_run.id if task_run and not own else None,
        tuple(task_run.tags) if task_run else (),
        tuple(resource.id for resource in event.related),
    )


def _prefects() -> tuple[Any, Any]:
    return (
        import_module("prefect.events.related").related_resources_from_run_context,
        import_module("prefect.utilities.context").temporary_context,
    )


def _probe() -> str | None:
    ask, _ = _prefects()
    if not {"client", "exclude"} <= inspect.signature(ask).parameters.keys():
        return "its function for related resources takes other arguments"
    return None


HOOK = Hook(
    name="related resources",
    does="finds what an event is related to once for each flow run",
    without="events of task runs are not linked to their flow run in the event feed",
    gain="it is part of the relay, which sends events outside of Prefect's worker",
    proven=PROVEN,
    probe=_probe,
)
