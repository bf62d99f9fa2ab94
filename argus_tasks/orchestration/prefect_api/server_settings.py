"""What a Prefect server's settings mean for a sweep: what would be lost, what would be late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

from argus_tasks.base.urls import is_in_the_clear, is_loopback
from argus_tasks.orchestration.prefect_api.prefect_server import (
    PrefectServer,
    ServerAway,
    asked_once,
)
from argus_tasks.prefect_compat.settings_override import with_settings

_RECORDER = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
_PERSISTER = "PREFECT_SERVER_SERVICES_EVENT_PERSISTER"
_GOOD_BATCH = 50


def findings(*, embedded: bool = False) -> list[str]:
    """What would lose or delay task runs on the server of PREFECT_API_URL, one sentence each, with
    what to set; empty where all is well.

    `embedded`: it is our own server, whose broker in memory is kept within its limits by us.
    Errors: ServerAway.
    """
    return judge(_settings(), embedded=embedded)


def access_findings() -> list[str]:
    """Who else may use the server of PREFECT_API_URL, and who can learn its login, one sentence
    each; empty where all is well. Errors: ServerAway."""
    settings = _settings()
    url = str(PREFECT_API_URL.value())
    found = []
    if is_in_the_clear(url) and (PREFECT_API_AUTH_STRING.value() or PREFECT_API_KEY.value()):
        found.append(
            "its login travels to another machine over plain http, where others can read it: use"
            " https"
        )
    try:
        with with_settings({"api.auth_string": None, "api.key": None}):
            _settings()
    except ServerAway:
        return found
    bound = str(_table(settings, "server", "api").get("host") or "")
    others = (
        "other users of this machine, and web pages that you open,"
        if is_loopback(url) and is_loopback(f"http://{bound}")
        else "all who can reach it over the network"
    )
    found.append(
        f"it asks for no login: {others} can read your sweeps, stop them, and run code as you"
        " through what is served there; set PREFECT_SERVER_API_AUTH_STRING=NAME:PASSWORD for the"
        " server and the same as PREFECT_API_AUTH_STRING here"
    )
    return found


def _settings() -> Mapping[str, Any]:
    with asked_once(PrefectServer()) as server:
        return server.settings()


def judge(settings: Mapping[str, Any], *, embedded: bool = False) -> list[str]:
    """The same for settings as `GET /api/admin/settings` gives them."""
    recorder = _table(settings, "server", "services", "task_run_recorder")
    persister = _table(settings, "server", "services", "event_persister")
    events = _table(settings, "server", "events")
    found = []
    if recorder.get("enabled") is False:
        found.append(
            "the server records no task runs (unless another process of it does): set "
            f"{_RECORDER}_ENABLED=true"
        )
    if _below(recorder, "batch_size") or _below(recorder, "read_batch_size"):
        found.append(
            "task runs are written one by one, some 50 to 150 a second: set "
            f"{_RECORDER}_READ_BATCH_SIZE=200, {_RECORDER}_BATCH_SIZE=200 and "
            f"{_RECORDER}_FLUSH_INTERVAL=1"
        )
    if persister.get("enabled") is not False and (
        _below(persister, "batch_size") or _below(persister, "read_batch_size")
    ):
        found.append(
            "events are written a few at a time, which delays task runs: set "
            f"{_PERSISTER}_READ_BATCH_SIZE=200 and {_PERSISTER}_BATCH_SIZE=500"
        )
    broker = str(events.get("messaging_broker", ""))
    in_memory = broker.endswith(".memory")
    if in_memory and not embedded:
        found.append(
            "the broker is in the server's memory: it drops without a word what exceeds 10,000 "
            "waiting events, and all of them when the server ends; for a team set "
            "PREFECT_MESSAGING_BROKER=prefect_redis.messaging (pip install prefect-redis)"
        )
    if broker and not in_memory:
        left = [
            f"{variable}={value}"
            for name, variable, value in (
                ("messaging_cache", "PREFECT_MESSAGING_CACHE", "prefect_redis.messaging"),
                (
                    "causal_ordering",
                    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
                    "prefect_redis.ordering",
                ),
            )
            if str(events.get(name, "")).endswith(".memory")
        ]
        if left:
            found.append(
                "the broker is shared, but what goes with it is in the memory of each server "
                f"process: set {' and '.join(left)}"
            )
    return found


def _below(service: Mapping[str, Any], name: str) -> bool:
    value = service.get(name)
    return isinstance(value, int) and value < _GOOD_BATCH


def _table(tree: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        tree = tree.get(key) or {}
    return tree
