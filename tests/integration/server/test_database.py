"""A database that is half migrated, of another version or no database at all is put right."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from argus_tasks.server import configuration
from argus_tasks.server.database import Database, revision
from argus_tasks.server.folder import Folder

FLOW_ID = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def database(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    database = Database(Folder.of_this_host(), configuration.prefect_version())
    assert not database.is_ready()
    assert database.prepare() == []
    assert database.is_ready()
    yield database
    assert database.is_ready()
    assert not list(database.folder.home.glob("*migrating*"))


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def add_flow(path: Path) -> None:
    execute(path, f"INSERT INTO flow (id, name) VALUES ('{FLOW_ID}', 'what it held')")


def flows(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name FROM flow").fetchall()


def prefect_database(path: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}",
        "PREFECT_HOME": str(path.parent),
    }
    command = [sys.executable, "-m", "prefect", "server", "database", *words, "-y"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def test_a_ready_one_is_left_alone(database: Database) -> None:
    before = database.path.stat().st_mtime_ns
    assert database.prepare() == []
    assert database.path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_half_migrated_with_leftovers_keeps_what_it_held(database: Database) -> None:
    head = revision(database.path)
    assert prefect_database(database.path, "downgrade", "-r", "-3").wait(60) == 0
    add_flow(database.path)
    execute(
        database.path,
        "CREATE TABLE _alembic_tmp_flow_run (id TEXT)",
        "CREATE TABLE _alembic_tmp_task_run (id TEXT)",
        "CREATE TABLE _alembic_tmp_artifact (id TEXT)",
    )
    assert not database.is_ready()
    (told,) = database.prepare()
    assert "with all its content" in told
    assert revision(database.path) == head
    assert flows(database.path) == [("what it held",)]
    with closing(sqlite3.connect(database.path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    assert not [name for name in tables if name.startswith("_alembic_tmp")]


@pytest.mark.slow
def test_a_migration_killed_in_its_middle(database: Database) -> None:
    database.path.unlink()
    migration = prefect_database(database.path, "upgrade")
    deadline = time.monotonic() + 60
    while revision(database.path) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.7)
    migration.send_signal(signal.SIGKILL)
    migration.wait()
    half = revision(database.path)
    assert half is not None
    assert not database.is_ready()
    database.prepare()
    assert revision(database.path) != half


def test_of_a_newer_version_is_set_aside_whole(database: Database) -> None:
    add_flow(database.path)
    execute(database.path, "UPDATE alembic_version SET version_num = 'fffffffffff0'")
    assert not database.is_ready()
    (told,) = database.prepare()
    assert "cannot be used by Prefect" in told
    (aside,) = database.folder.home.glob("*.aside")
    assert flows(aside) == [("what it held",)]
    assert flows(database.path) == []


def test_no_database_at_all_is_set_aside(database: Database) -> None:
    database.path.write_bytes(b"a text, no database. " * 1000)
    assert not database.is_ready()
    assert len(database.prepare()) == 1
    (aside,) = database.folder.home.glob("*.aside")
    assert aside.read_bytes().startswith(b"a text")


@pytest.mark.slow
def test_a_later_version_starts_from_the_earlier_ones(database: Database) -> None:
    add_flow(database.path)
    earlier = database.path.rename(database.folder.home / "prefect-3.8.7.db")
    assert not database.is_ready()
    assert "prefect-3.8.7.db" in database.prepare()[0]
    assert flows(database.path) == [("what it held",)]
    assert flows(earlier) == [("what it held",)]


@pytest.mark.slow
def test_what_lies_in_the_write_ahead_log_comes_along(database: Database) -> None:
    code = (
        "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1]);"
        "c.execute('PRAGMA journal_mode=WAL');"
        f"c.execute(\"INSERT INTO flow (id, name) VALUES ('{FLOW_ID}', 'what it held')\");"
        "c.execute(\"UPDATE alembic_version SET version_num = (SELECT 'gone')\");"
        "c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(database.path)], check=True)
    assert Path(f"{database.path}-wal").stat().st_size > 0
    database.prepare()
    (aside,) = database.folder.home.glob("*.aside")
    assert flows(aside) == [("what it held",)]
    assert not Path(f"{database.path}-wal").exists()
