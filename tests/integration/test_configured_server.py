"""A Prefect server of the user's own: one that is not there, and one that anybody may use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks.reporting import checks
from tests.support.servers import Bench
from tests.support.stock_server import StockServer

NOWHERE = "http://127.0.0.1:9/api"
COMMANDS = (
    ("run", "sweep.yaml"),
    ("limit", "show"),
    ("nightly", "status"),
    ("status", "--repair"),
    ("verify", "--prefect"),
)


@pytest.fixture
def swept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A folder with a sweep file and results, to be the working folder."""
    monkeypatch.chdir(bench.root)
    (bench.root / "lab.py").write_text("def run(ctx):\n    return {'loss': 1}\n")
    (bench.root / "sweep.yaml").write_text(
        "experiment: lab:run\nresults_root: results\ngrid: {x: [1]}\n"
    )
    sweep = bench.root / "results" / ".sweep" / "batch"
    sweep.mkdir(parents=True)
    (sweep / "sweep.json").write_text('{"schema_version": 1, "batch_id": "batch"}')
    return bench


def assert_one_sentence(done: subprocess.CompletedProcess[str], begins: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"argus-tasks: {begins}"), lines


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_server_that_is_not_there(swept: Bench, words: tuple[str, ...]) -> None:
    swept.environment["PREFECT_API_URL"] = NOWHERE
    before = sorted(swept.root.glob("results/*"))
    done = swept.command(*words)
    assert_one_sentence(done, f"PREFECT_API_URL is '{NOWHERE}', but Prefect's server does not")
    assert sorted(swept.root.glob("results/*")) == before


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://host/api", "http://[::1/api"])
def test_a_url_that_is_none(swept: Bench, url: str) -> None:
    swept.environment["PREFECT_API_URL"] = url
    begins = f"PREFECT_API_URL is '{url}'; expected a URL like http://"
    assert_one_sentence(swept.command("run", "sweep.yaml"), begins)


@pytest.mark.slow
def test_a_login_that_is_refused(swept: Bench, api_url: str) -> None:
    swept.environment |= {"PREFECT_API_URL": api_url, "PREFECT_API_AUTH_STRING": "me:mine"}
    begins = f"PREFECT_API_URL is '{api_url}', but Prefect's server refuses the login"
    for words in COMMANDS:
        assert_one_sentence(swept.command(*words), begins)


@pytest.fixture
def open_server(bench: Bench, tmp_path: Path) -> Iterator[StockServer]:
    """Listens on every address and asks for no login."""
    everywhere = {**bench.environment, "PREFECT_SERVER_API_HOST": "0.0.0.0"}
    server = StockServer(tmp_path / "stock", everywhere, bench.root / "none")
    server.start()
    yield server
    server.kill()


def said(bench: Bench, what: str) -> list[tuple[str, str]]:
    found = json.loads(bench.command("doctor", "--json").stdout)
    return [(each["level"], each["said"]) for each in found if each["what"] == what]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_doctor_on_who_may_use_a_server(bench: Bench, open_server: StockServer) -> None:
    bench.environment["PREFECT_API_URL"] = open_server.url
    ((level, sentence),) = said(bench, "Prefect's login")
    assert level == "warning"
    assert "asks for no login: all who can reach it over the network" in sentence
    name = socket.gethostname()
    bench.environment |= {
        "PREFECT_API_URL": open_server.url.replace("127.0.0.1", name),
        "PREFECT_API_AUTH_STRING": "me:mine",
    }
    (_, plain), (_, nobody) = said(bench, "Prefect's login")
    assert "over plain http" in plain
    assert "asks for no login" in nobody


@pytest.mark.slow
def test_the_doctor_on_a_server_with_a_login(bench: Bench, api_url: str) -> None:
    bench.environment |= {
        "PREFECT_API_URL": api_url,
        "PREFECT_API_AUTH_STRING": os.environ["PREFECT_API_AUTH_STRING"],
    }
    assert said(bench, "Prefect's login") == []
    assert said(bench, "Prefect")


def test_the_doctor_on_a_token_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_TOKEN", "t")
    monkeypatch.setenv("ARGUS_URL", "http://argus.invalid:9")
    assert any("over plain http" in found.said for found in checks.server())
    monkeypatch.setenv("ARGUS_URL", "http://localhost:9")
    assert not any("over plain http" in found.said for found in checks.server())


PROXIED = """
import sys
from argus_tasks.delivery.transport import HttpTransport
for url in sys.argv[1:]:
    print(HttpTransport(url, lambda: None).reach().error)
"""


def test_a_proxy_that_cannot_be_used_is_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROXIED, "http://127.0.0.1:9", "http://argus.invalid"],
        env={**os.environ, "ALL_PROXY": "socks://127.0.0.1:7891"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    here, away = done.stdout.splitlines()
    assert "refused" in here
    assert away.startswith("a proxy of the environment cannot be used: Unknown scheme")
