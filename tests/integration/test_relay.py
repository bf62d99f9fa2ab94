"""The relay against real servers: what arrives there, and what happens when they go away."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import pytest

from tests.support.flow_scripts import facts, rows, script
from tests.support.servers import Bench

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def test_one_event_a_quick_run_and_everything_right_on_the_server(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            from prefect.events import emit_event
            relay = Relay.install()

            @task(retries=1, retry_delay_seconds=0, cache_policy=NO_CACHE)
            def fails(): raise ValueError("no")

            @task(cache_policy=NO_CACHE)
            def takes_long(): time.sleep(1.6)

            @task(cache_policy=NO_CACHE)
            def outer(): return nothing(1000)

            @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
            def many():
                emit_event("my.event", resource={"prefect.resource.id": "mine"})
                futures = [nothing.submit(n) for n in range(100)]
                futures += [fails.submit(), takes_long.submit(), outer.submit()]
                for future in futures: future.wait()

            many(return_state=True)
            drained = relay.drain(20)
            tell(drained=drained, sent=relay.sent, dropped=relay.dropped, waiting=relay.waiting)
            relay.uninstall()

            @flow
            def after():
                for n in range(5): nothing(n)
            after()
            kind = EventsWorker.instance().client_type
            tell(plain=kind is PrefectEventsClient, threads=[t.name for t in threading.enumerate()])
            """,
        )
    )
    assert told["drained"]
    assert told["waiting"] == 0
    # 104 runs end, one of them was shown running, one event is the user's own, and one the
    # flow's heartbeat
    assert told["sent"] in {106, 107}
    assert told["dropped"] >= 204
    assert told["plain"]
    assert "argus-tasks-relay" not in told["threads"]
    bench.wait_until_gone(20)
    runs = rows(
        bench,
        "SELECT task_run.name, task_run.state_name, task_run.run_count, "
        "(SELECT count(*) FROM task_run_state s WHERE s.task_run_id = task_run.id), "
        "task_run.start_time IS NOT NULL AND task_run.end_time >= task_run.start_time, flow_run_id "
        "FROM task_run JOIN flow_run ON flow_run.id = flow_run_id "
        "JOIN flow ON flow.id = flow_run.flow_id WHERE flow.name = 'many'",
    )
    by_name = {str(row[0]).split("-")[0] if "run-" not in row[0] else row[0]: row for row in runs}
    assert len(runs) == 104
    assert len({row[5] for row in runs}) == 1
    assert all(row[4] for row in runs)
    for n in [*range(100), 1000]:
        assert by_name[f"run-{n}"][1:4] == ("Completed", 1, 1)
    assert by_name["fails"][1:4] == ("Failed", 2, 1)
    assert by_name["takes_long"][1:4] == ("Completed", 1, 2)
    plain = rows(
        bench,
        "SELECT count(*) FROM task_run_state WHERE task_run_id IN (SELECT task_run.id FROM "
        "task_run JOIN flow_run f ON f.id = flow_run_id JOIN flow ON flow.id = f.flow_id "
        "WHERE flow.name = 'after')",
    )
    assert plain == [(15,)]
    assert rows(bench, "SELECT count(*) FROM events WHERE event = 'my.event'") == [(1,)]
    related = rows(bench, "SELECT related, event FROM events WHERE event LIKE 'prefect.task-run.%'")
    for text, _event in related:
        roles = {item["prefect.resource.role"] for item in json.loads(text)}
        assert {"flow-run", "flow"} <= roles
    unknown = rows(
        bench,
        "SELECT count(*) FROM events WHERE follows IS NOT NULL"
        " AND follows NOT IN (SELECT id FROM events)",
    )
    assert unknown == [(0,)], "the server waits for events that nobody has sent"


@pytest.mark.slow
def test_the_way_through_prefects_own_worker_does_the_same(bench: Bench) -> None:
    """Where the short cut is lost (Prefect has made a new worker), its own forwarding stays."""
    told = facts(
        script(
            bench,
            """
            relay = Relay.install()
            del EventsWorker.instance().__dict__["send"]

            @flow
            def many():
                for future in nothing.map(range(50)): future.wait()
            many()
            tell(drained=relay.drain(20), sent=relay.sent, dropped=relay.dropped)
            relay.uninstall()
            """,
        )
    )
    assert told["drained"]
    assert told["sent"] in {50, 51}, "the flow's heartbeat may be among them"
    assert told["dropped"] == 100
    bench.wait_until_gone(20)
    assert rows(bench, "SELECT count(*) FROM task_run WHERE state_name = 'Completed'") == [(50,)]


@pytest.mark.slow
def test_without_the_way_in_everything_works_without_it(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            import prefect.events.worker
            lines = []
            class Collect(logging.Handler):
                def emit(self, record): lines.append(record.getMessage())
            logging.getLogger("argus_tasks").addHandler(Collect())
            forwarding = prefect.events.worker.ProcessPoolForwardingEventsClient
            del prefect.events.worker.ProcessPoolForwardingEventsClient
            gone = Relay.install()
            prefect.events.worker.ProcessPoolForwardingEventsClient = forwarding
            EventsWorker.set_client_override(forwarding, event_queue=print)
            taken = Relay.install()
            EventsWorker.set_client_override(None)
            @flow
            def many():
                for future in nothing.map(range(20)): future.wait()
            many()
            tell(gone=gone, taken=taken, lines=lines)
            """,
        )
    )
    assert told["gone"] is None
    assert told["taken"] is None
    assert len(told["lines"]) == 2
    bench.wait_until_gone(20)
    assert rows(bench, "SELECT count(*) FROM task_run WHERE state_name = 'Completed'") == [(20,)]


def test_users_are_counted_and_a_fork_has_none(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            first, second = Relay.install(), Relay.install()
            first.uninstall()
            still = EventsWorker._client_override is not None
            child = os.fork()
            if child == 0:
                os._exit(0 if EventsWorker._client_override is None else 1)
            in_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            second.uninstall()
            tell(same=first is second, still=still, in_child=in_child,
                 after=EventsWorker._client_override is not None)
            again = Relay.install()
            tell(again=again is not first)
            """,
        )
    )
    assert told == {"same": True, "still": True, "in_child": 0, "after": False, "again": True}


@pytest.mark.slow
def test_server_killed_in_mid_flow_and_back_again(bench: Bench) -> None:
    told = facts(
        script(
            bench,
            """
            relay = Relay.install()
            @flow
            def many():
                for n in range(600):
                    nothing(n)
                    if n == 300: os.kill(server.pid, signal.SIGKILL)
                server.revive(); server.wait_healthy(60)
            many()
            tell(drained=relay.drain(20))
            """,
        )
    )
    assert told["drained"]
    bench.wait_until_gone(20)
    ((known,),) = rows(bench, "SELECT count(*) FROM task_run WHERE state_name = 'Completed'")
    # what the killed server had taken and not yet written is settled by the mirror
    assert 400 <= known <= 600
    last = rows(bench, "SELECT count(*) FROM task_run WHERE name = 'run-599'")
    assert last == [(1,)]


def test_what_only_lies_in_the_socket_has_not_been_sent(bench: Bench) -> None:
    """A server that stands still takes some into its buffers, and has said nothing of them."""
    told = facts(
        script(
            bench,
            """
            from prefect.events import emit_event
            def emit(number):
                for n in range(number):
                    emit_event("my.event", resource={"prefect.resource.id": f"{n}"})
            server.wait_healthy(60)
            relay = Relay.install()
            emit(3)
            first = relay.drain(30)
            emit(3)
            while relay.waiting: time.sleep(0.05)  # sent, on a connection that stands
            os.kill(server.pid, signal.SIGSTOP)
            stopped = relay.drain(1)
            os.kill(server.pid, signal.SIGCONT)
            tell(first=first, stopped=stopped, again=relay.drain(30), waiting=relay.waiting)
            relay.uninstall()
            """,
        )
    )
    assert told == {"first": True, "stopped": False, "again": True, "waiting": 0}
    bench.wait_until_gone(20)
    assert rows(bench, "SELECT count(*) FROM events WHERE event = 'my.event'") == [(6,)]


@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)],
    ids=["gone", "stuck"],
)
def test_a_vanished_or_stuck_server_holds_nobody_up(bench: Bench, how: int) -> None:
    process = script(
        bench,
        f"""
        relay = Relay.install()
        from prefect import get_run_logger
        @flow
        def many():
            for n in range(100): nothing(n)
            os.kill(server.pid, {how})
            begun = time.monotonic()
            for n in range(100): nothing(n)
            tell(work_s=time.monotonic() - begun)
            begun = time.monotonic()
            drained = relay.drain(1)
            tell(drained=drained, drain_s=time.monotonic() - begun, pid=server.pid)
            begun = time.monotonic()
            relay.uninstall(1)
            tell(uninstall_s=time.monotonic() - begun, at=time.time())
            os._exit(0)  # the flow's own last state is the mirror's business
        many()
        """,
    )
    told = facts(process)
    if how == signal.SIGSTOP:
        os.kill(told["pid"], signal.SIGKILL)
    # Prefect's own worker would try each of a hundred events for 7 s.
    assert told["work_s"] < 60
    assert not told["drained"]
    assert told["drain_s"] < 30
    assert told["uninstall_s"] < 30


@pytest.mark.slow
def test_the_process_exits_in_time_although_nobody_drained(bench: Bench) -> None:
    """Without a flow around, so that only the events are in the way."""
    process = script(
        bench,
        """
        from prefect.events import emit_event
        relay = Relay.install()
        emit_event("first", resource={"prefect.resource.id": "mine"})
        assert relay.drain(20)
        os.kill(server.pid, signal.SIGKILL)
        for n in range(50): emit_event("more", resource={"prefect.resource.id": "mine"})
        tell(at=time.time())
        """,
    )
    told = facts(process)
    assert time.time() - told["at"] < 60
