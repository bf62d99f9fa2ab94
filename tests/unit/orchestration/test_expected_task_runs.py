from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from argus_tasks.orchestration.prefect_api.expected_task_runs import (
    ExpectedRun,
    ServerRun,
    as_event,
    as_state,
    compare,
)

START = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


def run(name: str, *, run_id: UUID | None = None, key: str = "", **extra: str) -> ExpectedRun:
    return ExpectedRun(
        task_run_id=run_id,
        name=name,
        task_key="config-abc",
        dynamic_key=key,
        state_type=extra.get("state_type", "COMPLETED"),
        state_name=extra.get("state_name", "Completed"),
        message="results/x",
        run_count=2,
        start_time=START,
        end_time=START + timedelta(seconds=90),
    )


def row(
    name: str, state: str = "Completed", key: str = "k", run_id: UUID | None = None
) -> ServerRun:
    kind = {"Completed": "COMPLETED", "Skipped": "COMPLETED"}.get(state, state.upper())
    return ServerRun(run_id or uuid4(), name, "config-abc", key, kind, state)


def test_matched_by_id_then_by_keys_then_by_a_name_of_its_own() -> None:
    one = uuid4()
    expected = [run("a", run_id=one), run("b", key="kb"), run("c")]
    shown = [row("c", key="kc"), row("b", key="kb"), row("a", key="ka", run_id=one)]
    found = compare(expected, shown)
    assert found.right == 3
    assert found.agrees


def test_of_two_with_a_name_the_one_that_agrees_is_meant() -> None:
    rows = [row("same", "Failed", key="1"), row("same", key="2")]
    assert compare([run("same")], rows).agrees
    assert len(compare([run("same")], [rows[0], rows[0]]).missing) == 1


def test_a_run_that_is_made_twice_is_one() -> None:
    """Without an id of its own it gets the same one each time."""
    made = [as_event(UUID(int=1), run(name), None, "made") for name in ("a", "a", "b")]
    ids = [event.resource.id for event in made]
    assert ids[0] == ids[1] != ids[2]


def test_a_known_id_is_not_matched_by_name() -> None:
    """Another run may have the name by right."""
    found = compare([run("a", run_id=uuid4(), key="k9")], [row("a")])
    assert len(found.missing) == 1


def test_missing_wrong_and_left_open() -> None:
    expected = [
        run("missing"),
        run("stuck"),
        run("s", state_name="Skipped"),
        run("renamed", key="kr"),
    ]
    shown = [
        row("stuck", "Running", "1"),
        row("s", "Completed", "2"),
        row("old name", "Completed", "kr"),
        row("nobody's", "Running", "4"),
        row("ended, not ours", "Failed", "5"),
    ]
    found = compare(expected, shown)
    assert [item.name for item in found.missing] == ["missing"]
    assert [item.name for item, _ in found.wrong] == ["stuck", "s", "renamed"]
    assert [item.name for item in found.left_open] == ["nobody's"]
    assert not found.agrees


def test_one_row_is_not_counted_for_two_runs() -> None:
    found = compare([run("a", key="k"), run("a", key="k")], [row("a")])
    assert (found.right, len(found.missing)) == (1, 1)


def test_the_event_of_a_missing_run_has_its_times_and_keys() -> None:
    flow_run_id, task_run_id = uuid4(), uuid4()
    event = as_event(flow_run_id, run("a", run_id=task_run_id, key="k"), None, "mended")
    assert event.occurred == START + timedelta(seconds=90)
    assert event.resource.id == f"prefect.task-run.{task_run_id}"
    assert event.resource["prefect.orchestration"] == "client"
    assert event.related[0].id == f"prefect.flow-run.{flow_run_id}"
    task_run = event.payload["task_run"]
    assert task_run["dynamic_key"] == "k"
    assert task_run["run_count"] == 2
    assert task_run["total_run_time"] == 90
    assert event.payload["validated_state"]["message"] == "results/x [mended]"


def test_the_event_of_a_wrong_one_is_later_than_what_the_server_has() -> None:
    shown = row("a", "Running")
    event = as_event(uuid4(), run("a"), shown, "mended")
    assert event.resource.id == f"prefect.task-run.{shown.id}"
    assert event.payload["task_run"]["dynamic_key"] == shown.dynamic_key
    assert event.occurred > START + timedelta(seconds=90)


def test_the_state_says_who_set_it() -> None:
    state = as_state(run("a", state_name="Skipped"), "mended")
    assert (state.type.value, state.name, state.message) == (
        "COMPLETED",
        "Skipped",
        "results/x [mended]",
    )
