"""Each hook looks before it reaches into Prefect: what has changed there makes it stand back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.prefect_compat import all_hooks as all_hooks_module
from argus_tasks.prefect_compat.all_hooks import all_hooks
from argus_tasks.prefect_compat.hook import Hook

HOOKS = {hook.name: hook for hook in all_hooks()}


@pytest.mark.parametrize("name", HOOKS)
def test_it_is_active_on_the_installed_versions(name: str) -> None:
    assert HOOKS[name].examine() is None


def gone(module: str, name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Take a name out of a module, or out of a class in it."""

    def change(patch: pytest.MonkeyPatch) -> None:
        target: Any = import_module(module)
        *path, last = name.split(".")
        for part in path:
            target = getattr(target, part)
        patch.delattr(target, last)

    return change


def other_parameters(patch: pytest.MonkeyPatch) -> None:
    """Prefect's function of the same name takes something else."""

    def emit_task_run_state_change_event(change: Any) -> None:
        """Another one."""

    for module in ("prefect.utilities.engine", "prefect.task_engine"):
        patch.setattr(
            f"{module}.emit_task_run_state_change_event", emit_task_run_state_change_event
        )


async def waits_otherwise(self: Any) -> None:
    """As in Prefect 3.4."""


CHANGES: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "the engine is gone": ("task engine", gone("prefect.task_engine", "SyncTaskRunEngine")),
    "its way to wait is a coroutine": (
        "task engine",
        lambda patch: patch.setattr(
            "prefect.task_engine.SyncTaskRunEngine.wait_until_ready", waits_otherwise
        ),
    ),
    "no forwarding client": (
        "event relay",
        gone("prefect.events.worker", "ProcessPoolForwardingEventsClient"),
    ),
    "no override": (
        "event relay",
        gone("prefect.events.worker", "EventsWorker.set_client_override"),
    ),
    "no function for changes": (
        "state changes",
        gone("prefect.utilities.engine", "emit_task_run_state_change_event"),
    ),
    "another function for changes": ("state changes", other_parameters),
    "no question for related ones": (
        "related resources",
        gone("prefect.events.related", "related_resources_from_run_context"),
    ),
    "a log service that is not drained": (
        "last log lines",
        gone("prefect._internal.concurrency.services", "_QueueServiceBase._drain"),
    ),
    "no client to reach it by": (
        "no proxy on this machine",
        gone("prefect.client.base", "PrefectHttpxSyncClient"),
    ),
    "no recorder": (
        "server: recording",
        gone("prefect.server.services.task_run_recorder", "consumer"),
    ),
    "no statements": (
        "server: rows",
        gone("prefect.server.database.query_components", "AioSqliteQueryComponents"),
    ),
    "another INSERT": (
        "server: rows",
        gone("sqlalchemy.sql.dml", "ValuesBase._post_values_clause"),
    ),
    "no table of automations": (
        "server: automations",
        gone("prefect.server.events.triggers", "automations_by_id"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_stands_back_where_prefect_has_changed(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make = CHANGES[change]
    make(monkeypatch)
    assert HOOKS[name].examine()


def test_a_probe_that_breaks_is_a_reason() -> None:
    def probe() -> str | None:
        raise AttributeError("no such thing")

    hook = Hook("h", "does", "without", "gain", "proven", probe)
    assert hook.examine() == hook.stands_back() == "AttributeError: no such thing"


def test_a_hook_is_decided_once_a_process_and_examined_anew() -> None:
    reasons: list[str | None] = [None, "it has changed since"]
    hook = Hook("another", "does", "without", "gain", "proven", lambda: reasons.pop(0))
    assert hook.stands_back() is hook.stands_back() is None
    assert hook.examine() == "it has changed since"


def test_every_hook_of_the_room_is_listed() -> None:
    names = {path.stem for path in Path(all_hooks_module.__file__).parent.glob("*.py")}
    modules = [import_module(f"argus_tasks.prefect_compat.{name}") for name in names]
    assert {vars(each)["HOOK"].name for each in modules if "HOOK" in vars(each)} == set(HOOKS)


def test_every_one_says_what_it_is_for() -> None:
    for hook in HOOKS.values():
        assert all((hook.does, hook.without, hook.gain, hook.proven)), hook.name
