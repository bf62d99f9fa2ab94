"""One server for all who hold it, up for as long as somebody does, and not much longer."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from argus_tasks.base import locks
from tests.support.servers import Bench

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

FLOW = """
import os
from argus_tasks.server import embedded
server = embedded.hold(idle_s=0)
os.environ.update(server.environment())
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
@task(cache_policy=NO_CACHE)
def nothing(index): pass
@flow
def many():
    for future in nothing.map(range(1000)): future.wait()
many()
os.kill(os.getpid(), 9) if {killed} else None
"""


def stranger_on(port: int) -> socket.socket:
    """A socket of somebody else's, as soon as the dying server has left the port."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_two_at_once_get_one_server_and_the_second_outlives_the_killed_starter(
    bench: Bench,
) -> None:
    first, second = bench.holder(), bench.holder()
    told = [first.told(), second.told()]
    assert told[0] == told[1]
    assert first.told() == second.told()
    assert len(bench.servers()) == 1
    starter, other = (first, second)
    starter.kill()
    time.sleep(3)  # three times what an unused server of this test stays up
    with urllib.request.urlopen(told[0]["url"] + "/health") as answer:
        assert answer.read() == b"true"
    other.end()
    assert bench.wait_until_gone(15) < 15


def test_many_at_the_same_moment_get_one_server(bench: Bench) -> None:
    code = """
import sys, time
from argus_tasks.server import embedded
while time.time() < float(sys.argv[1]): pass
print(embedded.hold(idle_s=0)._record.instance)
"""
    at = str(time.time() + 2)
    processes = [bench.python(code, at) for _ in range(6)]
    told = {process.communicate(timeout=90)[0] for process in processes}
    assert len(told) == 1
    with locks.exclusive(bench.folder() / "start.lock"):  # only one looks and starts at a time
        late = bench.holder(idle_s=0)
        readable, _, _ = select.select([late.process.stdout], [], [], 1.5)
        assert not readable
    late.told()
    late.kill()
    for pid in bench.servers():
        os.kill(pid, signal.SIGKILL)


def _as_soon_as_free(path: Path, limit_s: float = 20) -> int:
    """Its lock. Who ends loses the environment, by which we find it, before the files."""
    until = time.monotonic() + limit_s
    while True:
        try:
            return locks.take_flock(path)
        except BlockingIOError:
            assert time.monotonic() < until, f"{path} is still locked after {limit_s} s"
            time.sleep(0.05)


@pytest.mark.slow
def test_it_waits_for_the_server_that_still_has_the_database_open(bench: Bench) -> None:
    first = bench.holder(idle_s=0)
    first.told()
    first.told()
    first.end()
    bench.wait_until_gone(20)
    still_open = _as_soon_as_free(bench.folder() / "database.lock")
    following = bench.holder(idle_s=0)
    url = following.told()["url"]
    with pytest.raises(OSError, match="timed out"):
        urllib.request.urlopen(url + "/health", timeout=6)
    os.close(still_open)
    assert following.told()["pid"]
    following.kill()


@pytest.mark.slow
def test_hold_returns_at_once_and_the_first_request_waits(bench: Bench) -> None:
    code = """
import time, json, urllib.request
begun = time.monotonic()
from argus_tasks.server import embedded
server = embedded.hold()
held_s = time.monotonic() - begun
answer = urllib.request.urlopen(server.api_url + "/health", timeout=90).read()
print(json.dumps([held_s, answer.decode(), "prefect" in __import__("sys").modules]))
"""
    process = bench.python(code)
    out, _ = process.communicate(timeout=100)
    held_s, answer, imported = json.loads(out)
    assert held_s < 1.5
    assert answer == "true"
    assert not imported


@pytest.mark.slow
def test_with_the_defaults_it_is_gone_within_15_s_of_a_kill(bench: Bench) -> None:
    holder = bench.holder(idle_s=10)
    holder.told()
    pid = holder.told()["pid"]
    holder.kill()
    time.sleep(7)
    assert list(bench.servers()) == [pid], "it must still be there for who comes next"
    bench.wait_until_gone(8)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["ends", "is killed at its end"])
def test_all_task_runs_are_in_the_database_when_the_server_has_gone(
    bench: Bench, killed: bool
) -> None:
    process = bench.python(FLOW.format(killed=killed))
    process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if killed else 0)
    bench.wait_until_gone(20)
    with closing(sqlite3.connect(bench.database())) as database:
        rows = database.execute(
            "SELECT state_name, count(*) FROM task_run GROUP BY state_name"
        ).fetchall()
    expected = 1000
    if killed:  # what the flow's process had not sent is lost with it, and nothing else
        assert sum(count for _, count in rows) <= expected
    else:
        assert rows == [("Completed", expected)]


@pytest.mark.slow
def test_sigterm_does_not_end_it_before_it_has_recorded_everything(bench: Bench) -> None:
    code = FLOW.replace("many()\nos.kill", "many()\nos.kill(server.pid, 15)\nos.kill").format(
        killed=False
    )
    process = bench.python(code)
    process.communicate(timeout=120)
    assert process.returncode == 0
    bench.wait_until_gone(20)
    with closing(sqlite3.connect(bench.database())) as database:
        rows = database.execute("SELECT state_name, count(*) FROM task_run GROUP BY 1").fetchall()
    assert rows == [("Completed", 1000)]


@pytest.mark.slow
def test_a_killed_server_is_replaced_at_the_same_address(bench: Bench) -> None:
    first = bench.holder()
    url = first.told()["url"]
    pid = first.told()["pid"]
    os.kill(pid, signal.SIGKILL)
    second = bench.holder()
    assert second.told()["url"] == url, "who holds the old address must find the new server"
    assert second.told()["pid"] != pid
    assert len(bench.servers()) == 1
    second.end()
    time.sleep(2)
    assert bench.servers(), "the first one still holds"
    first.end()
    bench.wait_until_gone(15)


@pytest.mark.slow
def test_revive_starts_a_dead_server_again(bench: Bench) -> None:
    code = """
import os, signal
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.server import embedded
server = embedded.hold(idle_s=1)
server.wait_healthy(90)
os.kill(server.pid, signal.SIGKILL)
try:
    server.wait_healthy(20)
except ArgusTasksError as error:
    print(str(error).splitlines()[0])
print(server.is_alive(), server.revive(), server.is_alive())
server.wait_healthy(90)
print("again")
"""
    out, _ = bench.python(code).communicate(timeout=120)
    lines = out.splitlines()
    assert "has ended before it answered; its log is " in lines[0]
    assert lines[1:] == ["False True True", "again"]
    bench.wait_until_gone(15)


@pytest.mark.slow
def test_a_stale_record_is_not_believed(bench: Bench) -> None:
    """The machine went down: the record names a port that a stranger has now."""
    first = bench.holder()
    url = first.told()["url"]
    pid = first.told()["pid"]
    os.kill(pid, signal.SIGKILL)
    first.kill()
    with stranger_on(int(url.split(":")[2].split("/")[0])):
        second = bench.holder()
        assert second.told()["url"] != url
        assert second.told()["pid"]
        second.end()
    bench.wait_until_gone(15)


def test_a_pipe_ends_with_the_sweep_although_the_server_stays(bench: Bench) -> None:
    holder = bench.holder(idle_s=30)
    holder.told()
    holder.told()
    begun = time.monotonic()
    holder.end()  # reads to the end of the pipes: a server that had them would hold it up
    assert time.monotonic() - begun < 3
    (pid,) = bench.servers()
    assert os.getsid(pid) != os.getsid(0)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_next_start_is_refused_nothing_while_the_last_server_ends(bench: Bench) -> None:
    """Whoever comes while a server ends waits for it: never two on one database."""
    for _ in range(3):
        holder = bench.holder(idle_s=0)
        holder.told()
        holder.told()
        holder.end()
        deadline = time.monotonic() + 20
        while (bench.folder() / "server.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        following = bench.holder(idle_s=0)
        following.told()
        assert following.told()["pid"]
        assert len(bench.servers()) == 1
        following.end()
    bench.wait_until_gone(15)


@pytest.mark.slow
def test_a_server_that_cannot_start_is_told_with_its_log(bench: Bench) -> None:
    code = """
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.server import embedded
server = embedded.hold()
try:
    server.wait_healthy(60)
except ArgusTasksError as error:
    print(error)
"""
    broken = bench.root / "broken"
    (broken / "uvicorn").mkdir(parents=True)
    (broken / "uvicorn" / "__init__.py").write_text("raise RuntimeError('no uvicorn today')\n")
    bench.environment["PYTHONPATH"] = str(broken)
    out, _ = bench.python(code).communicate(timeout=100)
    assert "server.log" in out
    assert "no uvicorn today" in out
    bench.wait_until_gone(15)


def test_start_status_stop(bench: Bench) -> None:
    assert bench.command("server", "status").returncode == 1
    started = bench.command("server", "start")
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("export PREFECT_API_URL=http://127.0.0.1:")
    assert len(started.stdout.splitlines()) == 1
    time.sleep(2)
    holder = bench.holder()
    assert holder.told()["url"] in started.stdout
    holder.told()
    status = bench.command("server", "status")
    assert status.returncode == 0
    assert f"process {holder.process.pid}" in status.stdout
    assert "until `argus-tasks server stop`" in status.stdout
    refused = bench.command("server", "stop")
    assert f"process {holder.process.pid} still uses it" in refused.stdout
    again = bench.command("server", "start")
    assert again.stdout == started.stdout
    holder.end()
    stopped = bench.command("server", "stop")
    assert stopped.stdout.startswith("stopped Prefect's server"), stopped
    assert bench.servers() == {}
    assert bench.command("server", "status").returncode == 1
    assert bench.command("server", "stop").stdout == "no embedded server is running\n"


@pytest.mark.slow
def test_it_does_not_read_the_users_settings(bench: Bench) -> None:
    """A profile, a .env and PREFECT_ variables are meant for other servers."""
    profiles = bench.root / ".prefect" / "profiles.toml"
    profiles.parent.mkdir()
    profiles.write_text(
        'active = "x"\n[profiles.x]\nPREFECT_SERVER_DATABASE_CONNECTION_URL = "nonsense"\n'
    )
    bench.environment["PREFECT_SERVER_API_AUTH_STRING"] = "admin:secret"
    holder = bench.holder()
    url = holder.told()["url"]
    holder.told()
    login = (bench.folder() / "login").read_text().strip()  # its own, not the user's
    asking = urllib.request.Request(url + "/admin/settings")
    asking.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(asking) as answer:
        settings = json.loads(answer.read())
    services = settings["server"]["services"]
    assert services["task_run_recorder"]["batch_size"] == 200
    assert services["task_run_recorder"]["read_batch_size"] == 200
    assert services["event_persister"]["read_batch_size"] == 200
    assert settings["server"]["analytics_enabled"] is False
    assert settings["home"] == str(bench.folder() / "home")
    holder.end()
    bench.wait_until_gone(15)


@pytest.mark.slow
def test_first_ever_start_makes_the_database(
    make_bench: Callable[..., Bench], tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench = make_bench(tmp_path_factory.mktemp("no cache yet"))
    process = bench.python(FLOW.format(killed=False), stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    bench.wait_until_gone(15)
    with closing(sqlite3.connect(bench.database())) as database:
        assert database.execute("SELECT count(*) FROM task_run").fetchone() == (1000,)
    assert (bench.folder() / "server.log").read_text() == ""
