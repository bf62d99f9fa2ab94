"""The embedded server reads events for automations only while there are any."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest

from argus_tasks.prefect_compat.server_automations import TRIGGERS, watch_only_if_wanted


def test_an_event_is_read_once_there_is_an_automation(monkeypatch: pytest.MonkeyPatch) -> None:
    import prefect.server.events.triggers as watching

    read: list[Any] = []

    @asynccontextmanager
    async def watch() -> AsyncIterator[Any]:
        async def handle(message: Any) -> None:
            read.append(message)

        yield handle

    monkeypatch.setattr(watching, "consumer", watch)
    monkeypatch.setattr(watching, "automations_by_id", {})
    assert watch_only_if_wanted()

    async def two_events() -> None:
        async with watching.consumer() as handle:  # type: ignore[attr-defined]
            await handle("unwatched")  # type: ignore[arg-type]
            watching.automations_by_id["any"] = "automation"  # type: ignore[index,assignment]
            await handle("watched")  # type: ignore[arg-type]

    asyncio.run(two_events())
    assert read == ["watched"]


def test_where_prefect_watches_otherwise_it_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, TRIGGERS, ModuleType(TRIGGERS))
    assert not watch_only_if_wanted()
