"""A server that fails in every way a server can: nothing is lost, doubled or out of order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer, Faults, ServerProcess
from tests.support.delivery import (
    assert_accounts_meet,
    assert_once_in_order,
    finish,
    run,
    send_rest,
    start,
)
from tests.support.waiting import wait_for

TRAIN = """
with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
    for e in range({count}):
        j.epoch(e, train_loss=1.0 / (e + 1))
"""

SLOW_TRAIN = """
with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
    for e in range({count}):
        j.epoch(e, train_loss=1.0 / (e + 1))
        time.sleep(0.001)
        if e == {mark}:
            print("mark", flush=True)
"""


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


def test_a_tight_loop_of_20000_epochs(outbox: Path) -> None:
    with ArgusServer() as server:
        code, _, err = run(TRAIN.format(count=20_000), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 20_000})
        assert server.batch("b")["status"] == "done"
        posts = [one for one in server.receipts if one.event_ids]
        assert sum(len(one.event_ids) for one in posts) / len(posts) >= 350
    account = assert_accounts_meet(outbox)[0]
    assert account.delivered == account.emitted == len(server.rows("b"))


def test_down_at_the_start_and_until_the_end(outbox: Path, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    began = time.monotonic()
    code, _, err = run(
        TRAIN.format(count=6_000), outbox=outbox, url=server.url, ARGUS_DRAIN_DEADLINE_S="2"
    )
    assert code == 0, err
    assert time.monotonic() - began < 2 + 1 + 2, "the deadline, and python's own start and end"
    assert server.rows() == []
    assert assert_accounts_meet(outbox)[0].waiting >= 6_002
    with server:
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 6_000})


def test_comes_up_while_the_training_runs(outbox: Path, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    child = start(SLOW_TRAIN.format(count=3_000, mark=500), outbox=outbox, url=server.url)
    assert child.stdout is not None
    assert child.stdout.readline()
    with server:
        code, _, err = finish(child)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 3_000})


def test_killed_in_the_middle_and_back(outbox: Path, tmp_path: Path) -> None:
    """More than 5,000 events while it is away."""
    with ServerProcess(tmp_path) as server:
        child = start(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(8_000):
                    j.epoch(e)
                    if e == 1_000:
                        print("mark", flush=True)
                        sys.stdin.readline()
                print("all", flush=True)
                time.sleep(1.0)
            """,
            outbox=outbox,
            url=server.url,
        )
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline()
        wait_for(lambda: bool(server.rows("b")))
        server.kill()
        child.stdin.write("go\n")
        child.stdin.flush()
        assert child.stdout.readline() == "all\n"
        before = len(server.rows("b"))
        assert 0 < before < 2_000
        server.start()
        code, _, err = finish(child)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 8_000})


def test_killed_at_the_end(outbox: Path, tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        child = start(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(1_000):
                    j.epoch(e)
                time.sleep(1.5)
                print("mark", flush=True)
                time.sleep(0.5)
                for e in range(1_000, 6_500):
                    j.epoch(e)
            """,
            outbox=outbox,
            url=server.url,
            ARGUS_DRAIN_DEADLINE_S="1",
        )
        assert child.stdout is not None
        assert child.stdout.readline()
        server.kill()
        code, _, err = finish(child)
        assert code == 0, err
        server.start()
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 6_500})


@pytest.mark.parametrize(
    "status", [503, *(pytest.param(one, marks=pytest.mark.slow) for one in (500, 502, 408))]
)
def test_errors_then_well(outbox: Path, status: int) -> None:
    with ArgusServer() as server:
        server.faults = Faults(status=status, times=4)
        code, _, err = run(TRAIN.format(count=700), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 700})
        assert [one.status for one in server.receipts].count(status) == 4


def test_a_budget_of_two_requests_a_second(outbox: Path) -> None:
    with ArgusServer() as server:
        server.faults = Faults(budget=(2.0, 1.0))
        code, _, err = run(TRAIN.format(count=3_000), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 3_000})
        told = [one.status for one in server.receipts].count(429)
        assert 1 <= told <= len(server.receipts) / 2 + 2, "Retry-After is obeyed"


def test_retry_after_as_a_date_is_obeyed(outbox: Path) -> None:
    from email.utils import formatdate

    with ArgusServer() as server:
        later = time.time() + 3
        server.faults = Faults(
            status=503, times=1, retry_after=formatdate(later, usegmt=True), only="events"
        )
        code, _, err = run(TRAIN.format(count=10), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        posts = [one for one in server.receipts if "events" in one.route]
        assert posts[0].status == 503
        assert posts[1].at >= int(later) - 0.1
        assert_once_in_order(server.rows("b"), {"train": 10})


@pytest.mark.parametrize(
    "faults",
    [
        Faults(black_hole=True),
        Faults(drip_s=1.0),
        Faults(drip_s=1.0, drip_headers=True),
        Faults(status=429, retry_after="3000"),
    ],
    ids=["black hole", "drips its answer", "drips its headers", "asks for an hour"],
)
def test_the_process_leaves_in_time_with_its_own_exit_code(outbox: Path, faults: Faults) -> None:
    code_text = """
    import atexit
    r = Reporter("t", batch_id="b", **QUIET).__enter__()
    with r.job("train") as j:
        for e in range(200):
            j.epoch(e, train_loss=1.0 / (e + 1))
    began = time.monotonic()
    r.__exit__(None, None, None)
    atexit.register(lambda: print(time.monotonic() - began))
    sys.exit(7)
    """
    with ArgusServer() as server:
        server.faults = faults
        code, out, err = run(code_text, outbox=outbox, url=server.url, ARGUS_DRAIN_DEADLINE_S="2")
        assert code == 7, err
        assert float(out) <= 2 + 1, "the deadline and a second; the request's own would be 60"
        server.heal()
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 200})


def test_a_reset_in_mid_response_is_sent_twice_and_stored_once(outbox: Path) -> None:
    with ArgusServer() as server:
        server.faults = Faults(reset_after=40, times=2)
        code, _, err = run(TRAIN.format(count=900), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 900})
        assert max(server.received().values()) >= 2, "it was sent again"
    account = assert_accounts_meet(outbox)[0]
    assert account.delivered == account.emitted


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_everything_is_the_fault_of_the_way(outbox: Path, status: int) -> None:
    """A proxy in between, for a while."""
    with ArgusServer() as server:
        server.faults = Faults(status=status, times=15, only="events")
        code, _, err = run(TRAIN.format(count=700), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 700})
    account = assert_accounts_meet(outbox)[0]
    assert (account.set_aside, account.delivered) == (0, account.emitted)


@pytest.mark.parametrize(
    "status", [422, *(pytest.param(one, marks=pytest.mark.slow) for one in (400, 413, 415))]
)
def test_one_poisoned_event_in_400_is_set_aside_alone(outbox: Path, status: int) -> None:
    with ArgusServer() as server:
        server.faults = Faults(poison=["poison-mark"], poison_status=status)
        code, _, err = run(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(400):
                    j.epoch(e, note="poison" + "-mark" if e == 217 else "fine")
            """,
            outbox=outbox,
            url=server.url,
        )
        assert code == 0, err
        send_rest(outbox, server.url)
        stored = [row["data"]["epoch"] for row in server.rows("b", "job_epoch")]
        assert stored == [e for e in range(400) if e != 217]
        assert server.batch("b")["status"] == "done"
        assert len(server.receipts) < 30
    account = assert_accounts_meet(outbox)[0]
    assert account.set_aside == 1
    assert account.delivered == account.emitted - 1


def test_events_rejected_one_by_one_are_set_aside(outbox: Path) -> None:
    with ArgusServer() as server:
        server.faults = Faults(reject=["refuse-mark"])
        code, _, err = run(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(100):
                    j.epoch(e, note="refuse" + "-mark" if e % 10 == 3 else "fine")
            """,
            outbox=outbox,
            url=server.url,
        )
        assert code == 0, err
        send_rest(outbox, server.url)
        assert len(server.rows("b", "job_epoch")) == 90
    account = assert_accounts_meet(outbox)[0]
    assert account.set_aside == 10


def test_a_200_that_is_no_argus_answer_acknowledges_nothing(outbox: Path) -> None:
    with ArgusServer() as server:
        server.faults = Faults(garbage=True)
        code, _, err = run(
            TRAIN.format(count=50), outbox=outbox, url=server.url, ARGUS_DRAIN_DEADLINE_S="1"
        )
        assert code == 0, err
        assert server.rows("b") == []
        server.heal()
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 50})


def test_a_wrong_url_parks_with_a_clear_message(outbox: Path) -> None:
    with ArgusServer() as server:
        server.faults = Faults(status=404, only="events")
        began = time.monotonic()
        code, _, err = run(
            TRAIN.format(count=50), outbox=outbox, url=server.url, ARGUS_DRAIN_DEADLINE_S="50"
        )
        assert code == 0
        assert time.monotonic() - began < 40, "there is nothing to wait for"
        assert err.count("no Argus events route at this URL") == 1, err
        server.heal()
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 50})


def test_gzip_only_once_the_server_says_that_it_takes_it(outbox: Path) -> None:
    with ArgusServer() as server:
        server.takes_gzip = True
        code, _, err = run(TRAIN.format(count=2_000), outbox=outbox, url=server.url)
        assert code == 0, err
        send_rest(outbox, server.url)
        posts = [one for one in server.receipts if one.event_ids or one.encoding]
        assert posts[0].encoding == ""
        assert {one.encoding for one in posts[1:]} == {"gzip"}
        assert_once_in_order(server.rows("b"), {"train": 2_000})
    with ArgusServer() as server:
        code, _, err = run(TRAIN.format(count=2_000), outbox=outbox, url=server.url)
        assert {one.encoding for one in server.receipts} == {""}
