"""What a Prefect server's settings mean for a sweep: what would be lost, what would be late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argus_tasks.orchestration.prefect_server import PrefectServer, without_retries

_RECORDER = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
_PERSISTER = "PREFECT_SERVER_SERVICES_EVENT_PERSISTER"
_GOOD_BATCH = 50


def findings(*, embedded: bool = False) -> list[str]:
    """What would lose or delay task runs on the server of PREFECT_API_URL, one sentence each, with
    what to set; empty where all is well.

    `embedded`: it is our own server, whose broker in memory is kept within its limits by us.
    Errors: ServerAway.
    """
    server = PrefectServer()
    try:
        with without_retries():
            settings = server.settings()
    finally:
        server.close()
    return judge(settings, embedded=embedded)


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
