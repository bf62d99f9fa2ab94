"""What an event is related to: as many as Prefect's schema lets an event have, and no more."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from contextvars import copy_context
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext
from prefect.events import Event, RelatedResource
from prefect.events.schemas.events import Resource

from argus_tasks.prefect_compat import related_resources
from argus_tasks.prefect_compat.related_resources import RelatedResources, most_related


def related(count: int) -> list[RelatedResource]:
    return [
        RelatedResource({"prefect.resource.id": f"x.{n}", "prefect.resource.role": "r"})
        for n in range(count)
    ]


def test_the_cap_of_prefects_schema_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(*_: Any) -> list[RelatedResource]:
        return related(150)

    monkeypatch.setattr(related_resources, "_ask", ask)
    monkeypatch.setattr(related_resources, "get_client", lambda **_: nullcontext())
    run = TaskRun(task_key="t", dynamic_key="0", flow_run_id=uuid4())
    with TaskRunContext.model_construct(task_run=run, parameters={}):
        context = copy_context()
    event = Event(event="e", resource=Resource({"prefect.resource.id": "a"}), related=related(20))
    asyncio.run(RelatedResources().attach(event, context))
    assert len(event.related) == most_related() == 100
    Event.model_validate(event.model_dump())  # the server would take it
