"""What every test gets: folders of its own, and the promise that no process is left behind."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.closing import pytest_sessionfinish

__all__ = ["pytest_sessionfinish"]  # a hook of pytest's

# How long an example takes on a busy machine says nothing.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

MARK = f"ARGUS_TEST_MARK={uuid.uuid4().hex}"
_NAME, _, _VALUE = MARK.partition("=")
os.environ[_NAME] = _VALUE
os.environ["DO_NOT_TRACK"] = "1"
os.environ["ARGUS_LINGER_S"] = "0"  # what goes on sending after a process is tested by itself
for _name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "ARGUS_URL", "ARGUS_TOKEN"):
    os.environ.pop(_name, None)
# Whoever starts this in the background (nohup, a script's &) leaves these ignored.
for _number, _way in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _way)


def marked_processes() -> dict[int, str]:
    """Every process of this machine, but this one, that was started by this test session."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            if MARK.encode() in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace")
        except OSError:
            continue
    return found


@pytest.fixture(scope="session", autouse=True, name="_homes")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """State and Prefect folders of this session; at its end nothing of it may still run."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "PREFECT_HOME"):
        os.environ[name] = str(home / name.lower())
    yield
    deadline = time.monotonic() + 75
    while (left := marked_processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, f"still running after the tests: {left}"


@pytest.fixture
def results_root(tmp_path: Path) -> Path:
    """A results root that does not exist yet."""
    return tmp_path / "results"


@pytest.fixture(scope="session")
def api_url(_homes: None) -> Iterator[str]:
    """A real Prefect server's address: the embedded one, in this session's own folders. Its login
    is in the environment, as that of a user's own server would be."""
    from argus_tasks.server.embedded import hold

    with hold(idle_s=1) as held:  # what its last user waits for at the end
        held.wait_healthy(180)  # a busy machine, and the database is made first
        os.environ["PREFECT_API_AUTH_STRING"] = held.login
        yield held.api_url


@pytest.fixture
def served(api_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """PREFECT_API_URL set, as a user's own server would be."""
    monkeypatch.setenv("PREFECT_API_URL", api_url)
    return api_url
