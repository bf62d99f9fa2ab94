"""Disks that are full, and outboxes that reach their bound."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks.delivery.outbox_folder import outboxes
from tests.argus_server import ArgusServer, Faults
from tests.support.delivery import (
    argus_tasks,
    assert_accounts_meet,
    epochs_of,
    finish,
    run,
    send_rest,
    start,
)

FILL = """
with Reporter("t", batch_id="b", **QUIET) as r:
    with r.job("first") as j:
        for e in range(30_000):
            j.epoch(e, train_loss=0.5)
            if e % 10 == 0:
                j.log("a line of the log, long enough to take some room " * 3)
    with r.job("second") as j:
        for e in range(100):
            j.epoch(e)
{end}
print("trained", flush=True)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", os.fspath(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"a small tmpfs cannot be mounted: {error}")
    if done.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", os.fspath(place)], check=True)


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["", "kill -9"])
def test_a_full_disk(small_disk: Path, tmp_path: Path, end: str) -> None:
    """Training goes on, lifecycle events survive, losses are counted."""
    outbox = small_disk / "outbox"
    with ArgusServer() as server:
        server.faults = Faults(status=503)
        code, out, err = run(
            FILL.format(end=end),
            outbox=outbox,
            url=server.url,
            cwd=tmp_path,
            ARGUS_DRAIN_DEADLINE_S="0.2",
        )
        if end:
            assert code == -signal.SIGKILL, err
        else:
            assert code == 0, err
            assert "trained" in out
        assert err.count("is full") == 1, err
        account = assert_accounts_meet(outbox)[0]
        assert account.dropped["disk_full"] > 10_000
        assert account.emitted >= 33_106
        server.heal()
        send_rest(outbox, server.url)
        kinds = [row["event_type"] for row in server.rows("b")]
        assert kinds.count("batch_start") == 1
        assert kinds.count("job_start") == 2
        assert kinds.count("job_done") == 2
        assert kinds.count("batch_done") == 1
        first = epochs_of(server.rows("b"), "first")
        assert first == sorted(first)
        assert len(first) > 1_000
    account = assert_accounts_meet(outbox)[0]
    assert account.waiting == 0
    assert account.delivered == len(kinds)


def test_room_comes_back_while_the_training_runs(small_disk: Path, tmp_path: Path) -> None:
    outbox = small_disk / "outbox"
    ballast = small_disk / "ballast"
    with ArgusServer() as server:
        child = start(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                j.epoch(0)
                with open({ballast!r}, "wb", buffering=0) as f:
                    try:
                        while True:
                            f.write(b"x" * 4096)
                    except OSError:
                        pass
                for e in range(1, 500):
                    j.epoch(e, note="x" * 50)
                os.unlink({ballast!r})
                time.sleep(0.7)
                j.epoch(1_000)
            """.format(ballast=os.fspath(ballast)),
            outbox=outbox,
            url=server.url,
            cwd=tmp_path,
        )
        code, _, err = finish(child)
        assert code == 0, err
        send_rest(outbox, server.url)
        seen = epochs_of(server.rows("b"))
        assert seen[0] == 0
        assert seen[-1] == 1_000
        assert seen == sorted(set(seen))
    account = assert_accounts_meet(outbox)[0]
    assert account.emitted in (505, 506), "the environment may have found no room"
    assert account.dropped.get("disk_full", 0) == account.emitted - account.delivered


@pytest.mark.parametrize(
    ("megabytes", "kept", "gone"),
    [
        ("6", {"lifecycle", "job_epoch"}, {"log_line"}),
        pytest.param("1", {"lifecycle"}, {"log_line"}, marks=pytest.mark.slow),
    ],
)
def test_over_the_bound_the_least_important_yield_first(
    tmp_path: Path, megabytes: str, kept: set[str], gone: set[str]
) -> None:
    """About 4 MB of epochs and as much of log lines, and no server."""
    outbox = tmp_path / "outbox"
    with ArgusServer() as server:
        server.faults = Faults(status=503)
        code, _, err = run(
            """
            with Reporter("t", batch_id="b", **QUIET) as r:
                for n in range(40):
                    with r.job(f"job{n}") as j:
                        for e in range(300):
                            j.epoch(e)
                            j.log("a line of the log")
                            if n == 0 and e % 50 == 0: emit("resource_snapshot", cpu_util_pct=1)
                    time.sleep(0.1)
            """,
            outbox=outbox,
            url=server.url,
            ARGUS_OUTBOX_MAX_MB=megabytes,
            ARGUS_DRAIN_DEADLINE_S="0.2",
        )
        assert code == 0, err
        box = outboxes(outbox)[0]
        assert box.size() <= float(megabytes) * 2**20
        account = assert_accounts_meet(outbox)[0]
        assert account.emitted >= 40 * 602 + 2
        assert account.dropped["over_bound"] > 0
        server.heal()
        send_rest(outbox, server.url)
        rows = server.rows("b")
        kinds = [row["event_type"] for row in rows]
        assert kinds.count("job_start") == kinds.count("job_done") == 40
        assert kinds.count("batch_done") == 1
        logs, epochs = kinds.count("log_line"), kinds.count("job_epoch")
        if "job_epoch" in kept:
            assert epochs == 12_000
            assert 0 < logs < 12_000
        else:
            assert logs < epochs < 12_000
        for n in range(40):
            mine = epochs_of(rows, f"job{n}")
            assert mine == sorted(mine)
    account = assert_accounts_meet(outbox)[0]
    assert account.waiting == 0
    assert account.delivered == len(kinds)


def test_drop_by_hand_is_counted(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    with ArgusServer() as server:
        server.faults = Faults(status=503)
        run(
            """
            with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
                for e in range(100):
                    j.epoch(e)
            """,
            outbox=outbox,
            url=server.url,
            ARGUS_DRAIN_DEADLINE_S="0.2",
        )
        code, out, err = argus_tasks(
            "outbox", "drop", "--waiting", "--reason", "old server", outbox=outbox
        )
        assert code == 0, err
        server.heal()
        send_rest(outbox, server.url)
        assert server.rows("b") == []
    account = assert_accounts_meet(outbox)[0]
    assert account.dropped == {"old server": account.emitted}
    code, out, _ = argus_tasks("outbox", outbox=outbox)
    assert f"{account.emitted} dropped ({account.emitted} old server)" in out
