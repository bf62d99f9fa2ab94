"""A server, and an environment in which reporters find it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer


@pytest.fixture
def server() -> Iterator[ArgusServer]:
    with ArgusServer() as running:
        yield running


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture(autouse=True)
def _environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for name in ("ARGUS_URL", "ARGUS_TOKEN", "ARGUS_TOKEN_FILE", "ARGUS_DISABLE", "ARGUS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    monkeypatch.chdir(tmp_path)
    if "server" in request.fixturenames:
        monkeypatch.setenv("ARGUS_URL", request.getfixturevalue("server").url)
        monkeypatch.setenv("ARGUS_TOKEN", "em_live_test")
