from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from argus_tasks.base import locks
from argus_tasks.server.folder import Folder, Record
from argus_tasks.server.watcher import QUIET_S, RecordedProbe, Watcher, _shorten

HOLD = """
import sys
from pathlib import Path
from argus_tasks.base import locks
locks.take_hold(Path(sys.argv[1]))
print(flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as connection:
        for table in ("task_run_state", "events", "flow_run_state", "log"):
            connection.execute(f"CREATE TABLE {table} (id TEXT)")
        connection.commit()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "state")
    folder.home.mkdir(parents=True)
    folder.write(Record("me", 4242, "3.8.8"))
    return folder


def add_row(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO task_run_state VALUES ('x')")
        connection.commit()


def test_recorded_only_when_nothing_was_written_for_a_while(database: Path) -> None:
    now = [100.0]
    probe = RecordedProbe(database, clock=lambda: now[0])
    assert not probe.recorded()
    now[0] += QUIET_S / 2
    add_row(database)
    assert not probe.recorded()
    now[0] += QUIET_S / 2
    assert not probe.recorded(), "a row came half the time ago"
    now[0] += QUIET_S / 2
    assert probe.recorded()
    add_row(database)
    assert not probe.recorded()


def test_ends_an_unused_server_and_withdraws_it(database: Path, folder: Folder) -> None:
    ended: list[float] = []
    begun = time.monotonic()
    watcher = Watcher(
        folder, "me", database, lambda: ended.append(time.monotonic()), idle_s=0.5, limit_s=1.0
    )
    watcher.start()
    watcher.join(10)
    assert ended
    assert ended[0] - begun >= 0.5
    assert folder.read() is None
    assert folder.last_port() == 4242


def test_a_kept_server_stays_until_told(database: Path, folder: Folder) -> None:
    ended: list[bool] = []
    folder.keep("me")
    watcher = Watcher(folder, "me", database, lambda: ended.append(True), idle_s=0, limit_s=0)
    watcher.start()
    watcher.join(2)
    assert not ended
    folder.keep("a later server")  # the mark of another server does not keep this one
    watcher.join(5)
    assert ended


def test_asked_to_stop_it_drains_first(database: Path, folder: Folder) -> None:
    ended: list[float] = []
    begun = time.monotonic()
    watcher = Watcher(
        folder, "me", database, lambda: ended.append(time.monotonic()), idle_s=60, limit_s=60
    )
    watcher.start()
    watcher.ask_to_stop()
    watcher.join(20)
    assert ended
    assert ended[0] - begun >= QUIET_S
    assert folder.read() is None


def test_somebody_who_comes_at_the_last_moment_keeps_it(database: Path, folder: Folder) -> None:
    """The decision is made under the start lock, and looked at once more there."""
    ended: list[bool] = []
    with locks.exclusive(folder.start_lock):
        watcher = Watcher(folder, "me", database, lambda: ended.append(True), idle_s=0, limit_s=0)
        watcher.start()
        time.sleep(1.5)  # it has decided, and waits for the lock that we have
        folder.keep("me")
    time.sleep(1)
    assert not ended
    assert folder.read() is not None
    folder.keep_no_more()
    watcher.join(5)
    assert ended


def test_the_log_is_kept_small(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab") as handle:
        handle.truncate(6_000_000)
        _shorten(log)
        handle.write(b"next line\n")
    assert log.read_bytes() == b"next line\n"


@pytest.mark.parametrize("asked", [False, True])
def test_a_server_whose_folder_has_vanished_ends(
    asked: bool, database: Path, folder: Folder
) -> None:
    ended: list[bool] = []
    watcher = Watcher(folder, "me", database, lambda: ended.append(True), idle_s=1.0, limit_s=2.0)
    watcher.start()
    time.sleep(0.1)  # it has its locks open
    shutil.rmtree(folder.root)
    if asked:
        watcher.ask_to_stop()
    watcher.join(20)
    assert ended == [True]


def test_and_not_while_somebody_holds_it(database: Path, folder: Folder) -> None:
    ended: list[float] = []
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.hold_lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    watcher = Watcher(
        folder, "me", database, lambda: ended.append(time.monotonic()), idle_s=0.5, limit_s=1.0
    )
    watcher.start()
    time.sleep(0.1)
    shutil.rmtree(folder.root)
    time.sleep(2.5)
    assert ended == []
    holder.communicate()
    watcher.join(20)
    assert len(ended) == 1


def test_a_folder_that_was_never_there_keeps_nobody_up(database: Path, tmp_path: Path) -> None:
    ended: list[bool] = []
    folder = Folder(tmp_path / "nowhere")
    Watcher(folder, "me", database, lambda: ended.append(True), idle_s=0.5, limit_s=1.0).run()
    assert ended == [True]
