"""The events we make of changes of state are, letter for letter, Prefect's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect import task_engine
from prefect.client.schemas.objects import State, StateDetails, TaskRun, TaskRunPolicy
from prefect.events import Event
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Retrying, Running
from prefect.utilities import engine
from prefect.utilities.engine import emit_task_run_state_change_event

from argus_tasks.prefect_compat import state_change as ours

NAME = "emit_task_run_state_change_event"


def task_run() -> TaskRun:
    pending = Pending()
    return TaskRun(
        name="config 3",
        flow_run_id=uuid4(),
        task_key="config",
        dynamic_key=str(uuid4()),
        empirical_policy=TaskRunPolicy(retries=2, retry_delay=0),
        tags=["b", "a"],
        task_inputs={"index": [], "name": []},
        expected_start_time=pending.timestamp,
        start_time=pending.timestamp,
        state=pending,
        run_count=2,
        total_run_time=timedelta(seconds=1.5),
    )


@pytest.mark.parametrize(
    "state",
    [
        Running,
        Retrying,
        lambda: Completed(message="a/folder"),
        lambda: Completed(name="Skipped", message="x" * 200_000),
        lambda: Failed(message="died", data=ValueError("no")),
        lambda: Cancelled(message="stopped"),
        lambda: Crashed(state_details=StateDetails(retriable=True)),
    ],
)
def test_it_is_prefects_own(state: Callable[[], State[Any]], monkeypatch: Any) -> None:
    sent: list[dict[str, Any]] = []
    run, before, after = task_run(), Running(), state()
    first = Event(event="first", resource={"prefect.resource.id": "x"}, occurred=before.timestamp)
    monkeypatch.setattr(engine, "emit_event", lambda **facts: sent.append(facts))
    emit_task_run_state_change_event(run, before, after, follows=first)
    (facts,) = sent
    facts["follows"] = facts["follows"].id
    theirs = Event(**facts)
    event = ours.state_change(run, before, after, first).event()
    assert event.model_dump(exclude={"received"}) == theirs.model_dump(exclude={"received"})


def test_it_follows_nothing_from_long_ago() -> None:
    before, after = Running(), Completed()
    before.timestamp -= timedelta(minutes=6)
    first = ours.state_change(task_run(), None, before)
    assert ours.state_change(task_run(), before, after, first).follows is None


def test_the_engine_calls_what_we_stand_in_for() -> None:
    ours.stand_in(print)
    assert vars(task_engine)[NAME] is print
    ours.stand_back(print)
    assert vars(task_engine)[NAME] is emit_task_run_state_change_event


def test_what_another_library_has_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ours.HOOK.examine() is None
    monkeypatch.setattr(task_engine, NAME, repr)
    assert "has replaced it" in str(ours.HOOK.examine())
    ours.stand_in(print)
    ours.stand_back(print)
    assert vars(task_engine)[NAME] is repr
