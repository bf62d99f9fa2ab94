"""What these tests get: a loopback monitor. A framework that is missing is a failure here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer

os.environ["KERAS_BACKEND"] = "torch"


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ArgusServer]:
    """A monitor that this process, and those that it starts, report to; asked often for a stop."""
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_TOKEN", "em_live_test")
    monkeypatch.setenv("ARGUS_TASKS_RAISE", "1")
    monkeypatch.setattr("argus_tasks.reporting.reporter.STOP_POLL_S", 0.1)
    with ArgusServer() as server:
        monkeypatch.setenv("ARGUS_URL", server.url)
        yield server
