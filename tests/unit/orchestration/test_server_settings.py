from __future__ import annotations

from typing import Any

from argus_tasks.orchestration.prefect_api.server_settings import judge


def settings(
    *, batch: int = 200, broker: str = "prefect.server.utilities.messaging.memory", **events: str
) -> dict[str, Any]:
    return {
        "server": {
            "services": {
                "task_run_recorder": {
                    "enabled": True,
                    "batch_size": batch,
                    "read_batch_size": batch,
                },
                "event_persister": {"enabled": True, "batch_size": 500, "read_batch_size": batch},
            },
            "events": {"messaging_broker": broker, **events},
        }
    }


def test_our_own_server_is_all_right() -> None:
    assert judge(settings(), embedded=True) == []


def test_a_stock_server() -> None:
    found = judge(settings(batch=1))
    assert len(found) == 3
    assert "TASK_RUN_RECORDER_BATCH_SIZE=200" in found[0]
    assert "EVENT_PERSISTER_BATCH_SIZE=500" in found[1]
    assert "prefect_redis.messaging" in found[2]


def test_redis_whole_and_by_half() -> None:
    redis = "prefect_redis.messaging"
    whole = {"messaging_cache": redis, "causal_ordering": "prefect_redis.ordering"}
    assert judge(settings(broker=redis, **whole)) == []
    half = judge(settings(broker=redis, **whole | {"causal_ordering": "x.ordering.memory"}))
    assert len(half) == 1
    assert "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING=prefect_redis.ordering" in half[0]
    assert "MESSAGING_CACHE" not in half[0]


def test_no_recorder_and_no_persister() -> None:
    given = settings()
    given["server"]["services"]["task_run_recorder"]["enabled"] = False
    given["server"]["services"]["event_persister"] = {"enabled": False, "batch_size": 1}
    (found,) = judge(given, embedded=True)
    assert "records no task runs" in found


def test_settings_of_another_shape_are_no_reason_to_fall() -> None:
    assert judge({}) == []
    assert judge({"server": {"services": None, "events": {}}}) == []
