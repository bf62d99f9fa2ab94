"""The embedded server's login: who has it, where it lies, how long it holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.integration.test_stopping import wait_for
from tests.support.browser import Browser, chromium
from tests.support.servers import Bench

ROOT = Path(__file__).parents[3]
EXPERIMENT = """\
import os

def run(ctx):
    names = ("PREFECT_API_AUTH_STRING", "PREFECT_API_URL", "ALL_PROXY")
    return {name: int(name in os.environ) for name in names}
"""
SWEEP = """\
experiment: lab:run
results_root: {results}
grid: {{x: [1, 2]}}
execution: {{mode: {mode}, workers: 1}}
"""
SCRIPT = """\
command: sh -c 'echo METRIC login=$(env | grep -c PREFECT_API_AUTH_STRING)' {{x}}
results_root: {results}
grid: {{x: [1]}}
execution: {{mode: sequential}}
"""


class Shell:
    """A second shell, which knows nothing of the server but one line."""

    def __init__(self, bench: Bench, line: str) -> None:
        self._bench = bench
        self._line = line

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**self._bench.environment, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
        return subprocess.run(
            ["/bin/sh", "-c", f'{self._line}\nexec prefect "$@"', "sh", *words],
            cwd=self._bench.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


PROGRAMS = Path(sys.executable).parent


def login_of(bench: Bench) -> str:
    return (bench.folder() / "login").read_text().strip()


def sweep(bench: Bench, mode: str = "process_pool", text: str = SWEEP) -> list[dict[str, float]]:
    """Run it; the runs' metrics."""
    folder = bench.root / f"{mode}-{len(text)}"
    folder.mkdir()
    (folder / "lab.py").write_text(EXPERIMENT)
    (folder / "sweep.yaml").write_text(text.format(results=folder / "results", mode=mode))
    done = bench.command("run", str(folder / "sweep.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "logging to API" not in done.stderr
    (bench.root / f"{folder.name}.log").write_text(done.stdout + done.stderr)
    found = [json.loads(path.read_text()) for path in folder.glob("results/*/metrics.json")]
    assert found
    return found


@pytest.fixture
def kept(bench: Bench) -> Iterator[Bench]:
    """A bench whose server stays up until the end."""
    started = bench.command("server", "start")
    assert started.returncode == 0, started.stderr
    yield bench
    for pid in bench.servers():
        os.kill(pid, signal.SIGKILL)


def test_it_is_where_it_belongs_and_nowhere_else(kept: Bench) -> None:
    kept.environment["ALL_PROXY"] = "http://127.0.0.1:9"
    in_worker = {"PREFECT_API_AUTH_STRING": 0, "PREFECT_API_URL": 1, "ALL_PROXY": 1}
    assert sweep(kept) == [in_worker] * 2
    export = kept.command("server", "start").stdout
    login = login_of(kept)
    assert login not in export
    kept.environment["PREFECT_API_AUTH_STRING"] = login  # as the export line has it
    assert sweep(kept, "sequential", SCRIPT) == [{"login": 0}]
    kept.command("server", "status")
    has_it = [
        path
        for path in kept.root.rglob("*")
        if path.is_file() and login.partition(":")[2].encode() in path.read_bytes()
    ]
    assert has_it == [kept.folder() / "login"]
    assert stat.S_IMODE(has_it[0].stat().st_mode) == 0o600


def test_a_second_shell_needs_one_line(kept: Bench) -> None:
    line = kept.command("server", "start").stdout
    (row,) = line.splitlines()
    assert row.startswith("export PREFECT_API_URL=http://127.0.0.1:")
    done = Shell(kept, row).prefect("deployment", "ls")
    assert done.returncode == 0, done.stderr
    assert (
        Shell(kept, row + "; unset PREFECT_API_AUTH_STRING").prefect("deployment", "ls").returncode
    )
    # Our own commands go on by themselves in that shell, the server up or not.
    kept.environment["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    kept.environment["ARGUS_TASKS_EMBEDDED_API_URL"] = "http://127.0.0.1:9/api"
    assert kept.command("limit", "show").returncode == 0


def test_a_profile_will_do_as_well(kept: Bench) -> None:
    profiles = kept.root / ".prefect" / "profiles.toml"
    profiles.parent.mkdir()
    profiles.write_text('active = "mine"\n\n[profiles.mine]  # home\nPREFECT_API_KEY = "k"\n')
    for _ in range(2):  # the second time it is replaced
        written = kept.command("server", "profile")
        assert written.returncode == 0, written.stderr
        assert login_of(kept) not in written.stdout + written.stderr
    assert profiles.read_text().startswith('active = "mine"\n\n[profiles.mine]  # home\n')
    assert profiles.read_text().count("[profiles.argus-tasks]") == 1
    assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
    words = written.stdout.split()
    assert words[0] == "prefect"
    done = Shell(kept, "").prefect(*words[1:])
    assert done.returncode == 0, done.stderr
    kept.environment["PREFECT_PROFILE"] = "argus-tasks"
    assert "embedded server is used" in kept.command("doctor").stdout


def test_nothing_is_written_where_no_server_runs(bench: Bench) -> None:
    done = bench.command("server", "profile")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (bench.root / ".prefect").exists()


def test_a_login_of_the_users_own_is_not_in_the_way(kept: Bench) -> None:
    profiles = kept.root / ".prefect" / "profiles.toml"
    profiles.parent.mkdir()
    profiles.write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_AUTH_STRING = "me:mine"\n'
        'PREFECT_API_KEY = "key"\n'
    )
    assert len(sweep(kept)) == 2
    kept.environment["PREFECT_API_AUTH_STRING"] = "me:mine"
    assert kept.command("limit", "show").returncode == 0


def test_it_outlives_a_killed_server_and_no_other(bench: Bench) -> None:
    holder = bench.holder()
    url, pid = holder.told()["url"], holder.told()["pid"]
    login = login_of(bench)
    os.kill(pid, signal.SIGKILL)
    second = bench.holder()
    assert second.told()["url"] == url
    second.told()
    assert login_of(bench) == login, "who holds the old server has this one"
    for each in (holder, second):
        each.end()
    bench.wait_until_gone(20)
    assert not (bench.folder() / "login").exists()
    third = bench.holder()
    third.told(), third.told()
    assert login_of(bench) != login
    third.end()
    bench.wait_until_gone(20)


def taken(port: int) -> socket.socket:
    """Somebody else's socket on the port of a server that was killed a moment ago."""
    thief = socket.socket()
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def bound() -> bool:
        with suppress(OSError):
            thief.bind(("127.0.0.1", port))
            return True
        return False

    wait_for(bound, 20)
    thief.listen()
    thief.setblocking(False)
    return thief


def answer_to(url: str, login: str) -> int:
    """The status with which the server answers to this login."""
    request = Request(f"{url}/admin/version")
    request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    try:
        with urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_the_next_server_is_elsewhere_and_has_another_login_where_the_port_is_taken(
    bench: Bench,
) -> None:
    holder = bench.holder()
    url, pid = holder.told()["url"], holder.told()["pid"]
    login = login_of(bench)
    os.kill(pid, signal.SIGKILL)
    with taken(urlsplit(url).port or 0) as thief:
        second = bench.holder()
        other = second.told()["url"]
        second.told()
        assert other != url
        # Whoever has taken the port may have been sent the first one.
        assert (answer_to(other, login), answer_to(other, login_of(bench))) == (401, 200)
        with pytest.raises(BlockingIOError):
            thief.accept()
    for each in (holder, second):
        each.end()
    bench.wait_until_gone(20)


def without_login(bench: Bench) -> None:
    """Have the record look as an earlier version wrote it."""
    path = bench.folder() / "server.json"
    record = json.loads(path.read_text())
    del record["has_login"]
    path.write_text(json.dumps(record))


@pytest.mark.slow
def test_a_server_of_an_earlier_version_is_replaced_once_nobody_uses_it(kept: Bench) -> None:
    (old,) = kept.servers()
    without_login(kept)
    assert "asks for no login" in kept.command("doctor").stdout
    user = kept.holder()
    user.told()
    new = user.told()["pid"]
    assert new != old
    without_login(kept)
    beside = kept.holder()
    beside.told()
    assert beside.told()["pid"] == new, "somebody uses it"
    beside.end()
    user.end()
    wait_for(lambda: old not in kept.servers(), 60)


TWO_SWEEPS = """
import pathlib, sys, time
import lab
from argus_tasks import sweep_flow
from argus_tasks.server.embedded import hold
from argus_tasks.server.folder import Folder
login = Folder.of_this_host().login
seen = set()
for number in (1, 2):
    with hold(idle_s=0):
        sweep_flow([{"x": number}], lab.run, name=f"sweep{number}", results_root="results")
        seen.add(login())
    while login():
        time.sleep(0.1)
assert len(seen) == 2, seen
"""


@pytest.mark.slow
def test_one_process_after_the_other_server(bench: Bench) -> None:
    """What Prefect keeps of the first server must not be used on the second."""
    (bench.root / "lab.py").write_text(EXPERIMENT)
    bench.environment["PREFECT_LOGGING_LEVEL"] = "INFO"  # so that it has something to send
    process = bench.python(TWO_SWEEPS, stderr=subprocess.PIPE, cwd=bench.root)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "logging to API" not in errors
    assert "Unauthorized" not in errors
    bench.wait_until_gone(20)


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no chromium to log in with")
def test_a_browser_is_let_in_by_it(kept: Bench) -> None:
    url = next(
        line.split()[1]
        for line in kept.command("server", "status").stdout.splitlines()
        if line.startswith("ui")
    )
    with Browser() as browser:
        for page in (url, url.replace("127.0.0.1", "localhost")):
            browser.open(page)
            wait_for(lambda: browser.ask("!!document.querySelector('input[type=password]')"), 60)
            browser.ask("document.querySelector('input[type=password]').focus()")
            browser.call("Input.insertText", text=login_of(kept))
            browser.press("Enter")
            wait_for(lambda: "Dashboard" in browser.ask("document.body.innerText"), 60)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_make_serve_and_a_second_shell(bench: Bench) -> None:
    """README: what `make serve` prints is all that the second shell needs."""
    log = bench.root / "serve.log"
    bench.environment["PREFECT_RUNNER_POLL_FREQUENCY"] = "1"
    with log.open("wb") as out:
        serving = subprocess.Popen(
            [sys.executable, "-m", "deployments.serve"],
            cwd=ROOT,
            env=bench.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "export PREFECT_API_URL" in log.read_text(), 60)
        (line,) = [row for row in log.read_text().splitlines() if "export " in row]
        shell = Shell(bench, line)
        wait_for(lambda: "sweep/default" in shell.prefect("deployment", "ls").stdout, 180)
        results = bench.root / "served"
        configs = '[{"dataset": "nile", "model": "naive", "lags": 12}]'
        done = shell.prefect(
            *("deployment", "run", "sweep/default", "--param", f"configs={configs}"),
            *("--param", f"results_root={results}", "--watch", "--watch-timeout", "150"),
        )
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
        (record,) = results.glob("*/run.json")
        assert json.loads(record.read_text())["status"] == "succeeded"
        assert login_of(bench) not in log.read_text() + done.stdout + done.stderr
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait(60)
    shutil.rmtree(bench.root / "served", ignore_errors=True)


@pytest.mark.parametrize(
    "proxies",
    [
        {"ALL_PROXY": "socks://127.0.0.1:7891", "NO_PROXY": "[::1],fe80::/10"},
        pytest.param({"all_proxy": "socks5://127.0.0.1:1080"}, marks=pytest.mark.slow),
        pytest.param({"http_proxy": "http://127.0.0.1:9"}, marks=pytest.mark.slow),
    ],
    ids=["socks and IPv6", "socks5", "nobody there"],
)
def test_no_proxy_is_in_the_way(kept: Bench, proxies: dict[str, str]) -> None:
    kept.environment |= proxies
    found = sweep(kept)
    assert [run["ALL_PROXY"] for run in found] == [int("ALL_PROXY" in proxies)] * 2
    assert kept.command("limit", "show").returncode == 0
    assert kept.command("status", "--repair", "--results-root", results(kept)).returncode == 0


def results(bench: Bench) -> str:
    (found,) = bench.root.glob("*/results")
    return str(found)
