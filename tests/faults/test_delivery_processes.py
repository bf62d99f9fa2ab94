"""Processes that are killed, forked, doubled, or end without saying goodbye."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import pytest

from argus_tasks.delivery.outbox_folder import outboxes
from tests.argus_server import ArgusServer, Faults, ServerProcess
from tests.support.delivery import (
    argus_tasks,
    assert_accounts_meet,
    assert_once_in_order,
    epochs_of,
    finish,
    run,
    send_rest,
    start,
)
from tests.support.waiting import wait_for

KILLED = """
with Reporter("t", batch_id="b{k}", **QUIET) as r, r.job("train") as j:
    for e in range({k}):
        j.epoch(e)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


def killed_after(k: int, outbox: Path, url: str) -> None:
    code, _, err = run(KILLED.format(k=k), outbox=outbox, url=url)
    assert code == -signal.SIGKILL, err


def assert_killed_runs_arrived(server: ArgusServer, outbox: Path, ks: list[int]) -> None:
    send_rest(outbox, server.url)
    for k in ks:
        rows = server.rows(f"b{k}")
        assert epochs_of(rows) == list(range(k)), f"kill -9 after event {k}"
        assert [row["event_type"] for row in rows if row["event_type"] != "env_snapshot"][:2] == [
            "batch_start",
            "job_start",
        ]
    assert_accounts_meet(outbox)


def test_kill_9_after_the_kth_event(outbox: Path) -> None:
    ks = [0, 1, 2, 3, 50, 501, 3_000]
    with ArgusServer() as server:
        for k in ks:
            killed_after(k, outbox, server.url)
        assert_killed_runs_arrived(server, outbox, ks)


@pytest.mark.slow
def test_kill_9_after_every_event(outbox: Path) -> None:
    ks = list(range(60))
    with ArgusServer() as server:
        for k in ks:
            killed_after(k, outbox, server.url)
        assert_killed_runs_arrived(server, outbox, ks)


def test_kill_9_of_the_sender_between_answer_and_note(outbox: Path) -> None:
    """It dies while the server has stored and nobody has noted it: sent again, stored once."""
    with ArgusServer() as server:
        server.faults = Faults(reset_after=0)
        child = start(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(2_000):
                    j.epoch(e)
                    time.sleep(0.0005)
                time.sleep(60)
            """,
            outbox=outbox,
            url=server.url,
        )
        assert server.wait_for(lambda one: len(one.receipts) > 2)
        child.kill()
        finish(child)
        server.heal()
        send_rest(outbox, server.url)
        rows = server.rows("b")
        assert epochs_of(rows) == list(range(len(epochs_of(rows))))
        assert max(server.received().values()) >= 2


def test_a_torn_last_line_costs_that_line_only(outbox: Path) -> None:
    with ArgusServer() as server:
        server.faults = Faults(status=503)
        run(KILLED.format(k=100), outbox=outbox, url=server.url)
        box = outboxes(outbox)[0]
        segment = Path(box.segment_path(box.segments()[0]))
        whole = segment.read_bytes()
        segment.write_bytes(whole[: len(whole) - 100])
        server.heal()
        send_rest(outbox, server.url)
        assert epochs_of(server.rows("b100")) == list(range(99))
        assert box.segments() == [], "nothing stays behind because of it"
    account = assert_accounts_meet(outbox)[0]
    assert account.dropped == {"torn": 1}


def test_sigterm_without_a_handler(outbox: Path) -> None:
    with ArgusServer() as server:
        child = start(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(1_000):
                    j.epoch(e)
                print("mark", flush=True)
                time.sleep(60)
            """,
            outbox=outbox,
            url=server.url,
        )
        assert child.stdout is not None
        assert child.stdout.readline()
        child.terminate()
        assert finish(child)[0] == -signal.SIGTERM
        send_rest(outbox, server.url)
        assert epochs_of(server.rows("b")) == list(range(1_000))


def test_sigterm_with_a_handler_that_exits(outbox: Path) -> None:
    with ArgusServer() as server:
        child = start(
            """
            signal.signal(signal.SIGTERM, lambda *_: (emit("log_line", line="told"), sys.exit(3)))
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                print("mark", flush=True)
                for e in range(10**9):
                    j.epoch(e)
            """,
            outbox=outbox,
            url=server.url,
        )
        assert child.stdout is not None
        assert child.stdout.readline()
        time.sleep(0.5)
        child.terminate()
        code, _, err = finish(child)
        assert code == 3, err
        send_rest(outbox, server.url)
        rows = server.rows("b")
        assert epochs_of(rows) == list(range(len(epochs_of(rows))))
        assert server.batch("b")["status"] == "failed"
        assert "SystemExit" in server.batch("b")["end"]["reason"]
        assert [row["data"]["line"] for row in rows if row["event_type"] == "log_line"] == ["told"]


@pytest.mark.parametrize("ending", ["", "os._exit(5)", "raise SystemExit(5)"])
def test_the_interpreter_ends_without_leaving_the_with(outbox: Path, ending: str) -> None:
    with ArgusServer() as server:
        code, _, err = run(
            "r = Reporter('t', batch_id='b', **QUIET)\nr.__enter__()\n"
            "j = r.job('train').__enter__()\n"
            "for e in range(2_000): j.epoch(e)\n" + ending,
            outbox=outbox,
            url=server.url,
        )
        assert code == (5 if ending else 0), err
        assert "Traceback" not in err
        send_rest(outbox, server.url)
        assert epochs_of(server.rows("b")) == list(range(2_000))
    assert_accounts_meet(outbox)


def test_fork_in_mid_run_with_the_lock_held(outbox: Path) -> None:
    """Forks happen while another thread is in the middle of appending."""
    with ArgusServer() as server:
        code, _, err = run(
            """
            import threading
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                other = r.job("other").__enter__()
                going = True
                def spin():
                    n = 0
                    while going:
                        other.epoch(n); n += 1
                    counted.append(n)
                counted = []
                thread = threading.Thread(target=spin); thread.start()
                children = []
                for c in range(5):
                    j.epoch(c)
                    pid = os.fork()
                    if pid == 0:
                        with r.job(f"child{c}") as mine:
                            for e in range(200):
                                mine.epoch(e)
                        os._exit(0)
                    children.append(pid)
                    time.sleep(0.05)
                assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
                going = False
                thread.join()
                other.__exit__(None, None, None)
                print(counted[0])
            """,
            outbox=outbox,
            url=server.url,
        )
        assert code == 0, err
        send_rest(outbox, server.url)
        jobs = {"train": 5} | {f"child{c}": 200 for c in range(5)}
        assert_once_in_order(server.rows("b"), jobs)
        others = epochs_of(server.rows("b"), "other")
        assert others == list(range(len(others)))
        assert [row["event_type"] for row in server.rows("b")].count("batch_done") == 1
    account = assert_accounts_meet(outbox)[0]
    assert account.delivered == account.emitted


@pytest.mark.slow
def test_a_child_that_outlives_its_parent_sends_by_itself(outbox: Path) -> None:
    with ArgusServer() as server:
        code, _, err = run(
            """
            r = Reporter("t", batch_id="b", **QUIET).__enter__()
            j = r.job("train").__enter__()
            if os.fork() == 0:
                os.close(1); os.close(2)
                time.sleep(1.0)
                for e in range(100):
                    j.epoch(e)
                    time.sleep(0.02)
                time.sleep(2.5)
                os._exit(0)
            os._exit(0)
            """,
            outbox=outbox,
            url=server.url,
        )
        assert code == 0, err
        assert server.wait_for(lambda one: len(one.rows("b", "job_epoch")) == 100, 60)
        time.sleep(1.5)


def test_four_processes_one_batch(outbox: Path) -> None:
    part = """
    with Reporter("t", batch_id="b", **QUIET) as r:
        print("in", flush=True)
        sys.stdin.readline()
        with r.job("job{n}") as j:
            for e in range(1_500):
                j.epoch(e)
                if e % 100 == 0:
                    time.sleep(0.01)
    """
    with ArgusServer() as server:
        children = [start(part.format(n=n), outbox=outbox, url=server.url) for n in range(4)]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "in\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            code, _, err = finish(child)
            assert code == 0, err
        send_rest(outbox, server.url)
        rows = server.rows("b")
        assert_once_in_order(rows, {f"job{n}": 1_500 for n in range(4)})
        kinds = [row["event_type"] for row in rows]
        assert kinds.count("batch_start") == 1
        assert kinds.count("batch_done") == 1
        assert kinds.count("env_snapshot") <= 1, "on a busy machine it is not waited for"
        assert kinds[0] == "batch_start"
        assert kinds[-1] == "batch_done", "the last one to leave, after all the others' events"
        assert rows[-1]["data"]["n_done"] == 4
    account = assert_accounts_meet(outbox)[0]
    assert account.delivered == account.emitted == len(rows)


def test_two_reporters_in_one_process(outbox: Path) -> None:
    with ArgusServer() as server:
        code, _, err = run(
            """
            two = Reporter("t", batch_id="two", **QUIET)
            with Reporter("t", batch_id="one", **QUIET) as a, two as b:
                with a.job("ja") as ja, b.job("jb") as jb:
                    for e in range(500):
                        ja.epoch(e); jb.epoch(e)
            with Reporter("t", batch_id="three", **QUIET) as a:
                with Reporter("t", batch_id="three", **QUIET) as b, b.job("jc") as j:
                    j.epoch(0)
                with a.job("jd") as j:
                    j.epoch(0)
            """,
            outbox=outbox,
            url=server.url,
        )
        assert code == 0, err
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("one"), {"ja": 500})
        assert_once_in_order(server.rows("two"), {"jb": 500})
        assert_once_in_order(server.rows("three"), {"jc": 1, "jd": 1})
        kinds = [row["event_type"] for row in server.rows("three")]
        assert (kinds.count("batch_start"), kinds.count("batch_done")) == (1, 1)
        assert kinds[-1] == "batch_done"
        assert server.rows("three")[-1]["data"]["n_done"] == 2


def test_a_bad_token_that_turns_good(outbox: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("em_live_bad")
    token.chmod(0o600)
    with ArgusServer() as server:
        server.tokens = {"em_live_good"}
        child = start(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(1_000):
                    j.epoch(e)
                print("mark", flush=True)
                sys.stdin.readline()
            """,
            outbox=outbox,
            url=server.url,
            ARGUS_TOKEN="",
            ARGUS_TOKEN_FILE=str(token),
        )
        assert child.stdout is not None
        assert child.stdout.readline()
        assert server.wait_for(lambda one: any(got.status == 401 for got in one.receipts))
        assert server.rows() == []
        token.write_text("em_live_good")
        code, _, err = finish(child)
        assert code == 0
        assert err.count("does not accept the token") == 1, err
        assert "em_live" not in err
        assert_once_in_order(server.rows("b"), {"train": 1_000})
    assert assert_accounts_meet(outbox)[0].waiting == 0


@pytest.mark.slow
def test_another_process_with_a_good_token_sends_for_one_with_a_bad_one(outbox: Path) -> None:
    with ArgusServer() as server:
        server.tokens = {"em_live_good"}
        bad = start(
            """
            with Reporter("t", batch_id="bad", **QUIET) as r, r.job("train") as j:
                for e in range(100):
                    j.epoch(e)
                print("mark", flush=True)
                time.sleep(6)
            """,
            outbox=outbox,
            url=server.url,
            ARGUS_TOKEN="em_live_bad",
        )
        assert bad.stdout is not None
        assert bad.stdout.readline()
        good = start(
            """
            with Reporter("t", batch_id="good", **QUIET) as r, r.job("train") as j:
                j.epoch(0)
                time.sleep(4)
            """,
            outbox=outbox,
            url=server.url,
            ARGUS_TOKEN="em_live_good",
        )
        assert server.wait_for(lambda one: len(one.rows("bad", "job_epoch")) == 100, 60)
        assert finish(good)[0] == 0
        assert finish(bad)[0] == 0


def test_offline_events_wait_for_outbox_send(outbox: Path) -> None:
    code, _, err = run(
        """
        with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
            for e in range(300):
                j.epoch(e)
        """,
        outbox=outbox,
        url=None,
        ARGUS_OFFLINE="1",
    )
    assert code == 0, err
    code, out, _ = argus_tasks("outbox", "--json", outbox=outbox)
    page = json.loads(out)[0]
    assert page["waiting"] >= 304
    assert page["waiting_since"]
    with ArgusServer() as server:
        send_rest(outbox, server.url)
        assert_once_in_order(server.rows("b"), {"train": 300})


@pytest.mark.parametrize("env", [{}, {"ARGUS_DISABLE": "yes", "ARGUS_URL": "http://127.0.0.1:9"}])
def test_without_a_server_or_disabled_nothing_is_kept(outbox: Path, env: dict[str, str]) -> None:
    code, out, err = run(
        """
        with Reporter("t", **QUIET) as r, r.job("train") as j:
            j.epoch(0); j.metrics({"a": 1}); j.log("x")
            print(j.upload("nothing"), r.stopped, j.stopped, bool(r.batch_id))
        assert "httpx" not in sys.modules
        """,
        outbox=outbox,
        url=None,
        **env,
    )
    assert code == 0, err
    assert out.split() == ["0", "False", "False", "True"]
    assert err.count("no monitor") == (0 if env else 1)
    assert not outbox.exists()


LATE = """
with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
    for e in range(300):
        j.epoch(e)
"""


def senders_of(outbox: Path) -> list[int]:
    """The processes that go on sending from an outbox below this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"argus-tasks: sends what waits in" in words and str(outbox).encode() in b" ".join(
                words
            ):
                found.append(int(folder.name))
    return found


def test_a_monitor_that_is_reached_late_gets_all_without_anybodys_doing(
    outbox: Path, tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path)
    more = {"ARGUS_DRAIN_DEADLINE_S": "0.5", "ARGUS_LINGER_S": "90"}
    more["ARGUS_TOKEN"] = "em_live_canary"
    code, _, err = run(LATE, outbox=outbox, url=server.url, **more)
    assert code == 0, err
    assert "a background process sends them for 90 s" in err
    (pid,) = senders_of(outbox)
    assert b"em_live_canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    code, _, err = run(LATE.replace('"b"', '"b2"'), outbox=outbox, url=server.url, **more)
    assert senders_of(outbox) == [pid], "one is enough for an outbox"
    with server:
        wait_for(lambda: not senders_of(outbox), 60)
        for batch in ("b", "b2"):
            assert_once_in_order(server.rows(batch), {"train": 300})
    assert [account.waiting for account in assert_accounts_meet(outbox)] == [0, 0]


def test_what_goes_on_sending_has_an_end_and_can_be_turned_off(
    outbox: Path, tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path)
    more = {"ARGUS_DRAIN_DEADLINE_S": "0.5"}
    code, _, err = run(LATE, outbox=outbox, url=server.url, **more, ARGUS_LINGER_S="0")
    assert code == 0, err
    assert senders_of(outbox) == []
    assert "wait on this disk; the next run sends them" in err
    code, _, err = run(LATE, outbox=outbox, url=server.url, **more, ARGUS_LINGER_S="1.5")
    assert code == 0, err
    wait_for(lambda: not senders_of(outbox), 30)
    assert sum(account.waiting for account in assert_accounts_meet(outbox)) > 600
