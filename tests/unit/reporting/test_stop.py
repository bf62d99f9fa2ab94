"""The stop button: only an answer that says so stops, and it works."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from argus_tasks import Reporter
from tests.argus_server import ArgusServer, Faults

POLL: dict[str, Any] = {"heartbeat": False, "stop_polling": 0.05, "resource_snapshot": False}


def polls(server: ArgusServer) -> int:
    return sum("stop-requested" in one.route for one in server.receipts)


def test_the_button_stops(server: ArgusServer) -> None:
    with Reporter(batch_id="b", **POLL) as r, r.job("j") as j:
        assert server.wait_for(lambda one: polls(one) > 2)
        assert not r.stopped
        server.press_stop("b")
        assert server.wait_for(lambda _: r.stopped)
        assert j.stopped
        server.stopping.clear()
        server.stop_answer = (200, '{"requested": false}')
        time.sleep(0.2)
        assert r.stopped, "once true, it stays"


@pytest.mark.parametrize(
    ("status", "body", "stops"),
    [
        (200, {"requested": True}, True),
        (200, {"stop_requested": True}, True),
        (200, {"requested": False, "stop_requested": True}, True),
        (200, {"requested": False}, False),
        (200, {"requested": "true"}, False),
        (200, {"requested": 1}, False),
        (200, {"requested": None}, False),
        (200, [True], False),
        (200, "true", False),
        (200, "<html>", False),
        (201, {"requested": True}, False),
        (302, {"requested": True}, False),
        (401, {"requested": True}, False),
        (404, {"requested": True}, False),
        (429, {"requested": True}, False),
        (500, {"requested": True}, False),
        (503, {"requested": True}, False),
    ],
)
def test_only_an_explicit_answer_stops(
    server: ArgusServer, status: int, body: Any, stops: bool
) -> None:
    server.stop_answer = (status, body if isinstance(body, str) else json.dumps(body))
    with Reporter(batch_id="b", **POLL) as r:
        assert server.wait_for(lambda one: polls(one) >= (1 if stops else 3))
        assert server.wait_for(lambda _: r.stopped, 2.0 if stops else 0.1) is stops


def test_it_works_again_after_an_outage(server: ArgusServer) -> None:
    with Reporter(batch_id="b", **POLL) as r:
        assert server.wait_for(lambda one: polls(one) > 0)
        server.faults = Faults(reset_after=5)
        before = polls(server)
        assert server.wait_for(lambda one: polls(one) > before + 1)
        assert not r.stopped
        server.press_stop("b")
        server.heal()
        assert server.wait_for(lambda _: r.stopped)


def test_the_last_sessions_stop_does_not_stop_this_one(server: ArgusServer) -> None:
    """Until this session's batch_start is accepted, the answer is the last session's."""
    with Reporter(batch_id="b", **POLL):
        pass
    server.press_stop("b")
    server._batches["b"]["status"] = "stopping"
    server.faults = Faults(status=503, only="events")
    with Reporter(batch_id="b", **POLL) as r:
        time.sleep(0.5)
        assert polls(server) == 0 or not r.stopped
        server.heal()
        assert server.wait_for(lambda one: one.batch("b")["status"] == "running")
        before = polls(server)
        assert server.wait_for(lambda one: polls(one) > before + 2)
        assert not r.stopped
