"""The embedded server's recorder of task runs writes within a tenth of a second."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

from argus_tasks.prefect_compat.server_recording import FLUSH_S, RECORDER, record_sooner


def test_prefects_recorder_is_made_with_our_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    import prefect.server.services.task_run_recorder as recorder

    seen: list[Any] = []
    original = recorder.consumer
    monkeypatch.setattr(
        recorder, "consumer", lambda *a, **words: seen.append(words) or original(*a, **words)
    )
    assert record_sooner()

    async def run_briefly() -> None:
        starting = asyncio.create_task(recorder.TaskRunRecorder().start())
        while not seen:
            await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.wait([starting])

    asyncio.run(run_briefly())
    assert seen[0]["flush_every"] == FLUSH_S


def test_a_recorder_that_is_made_otherwise_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, RECORDER, ModuleType(RECORDER))
    assert not record_sooner()
