"""A real Prefect server for the whole session: the embedded one, in the session's own folders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from argus_tasks.server.embedded import hold
from tests.support.server_fixtures import bench, cache, make_bench

__all__ = ["bench", "cache", "make_bench"]


@pytest.fixture(scope="session")
def api_url(_homes: None) -> Iterator[str]:
    """The server's address."""
    with hold() as held:
        held.wait_healthy()
        yield held.api_url


@pytest.fixture
def served(api_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """PREFECT_API_URL set, as a user's own server would be."""
    monkeypatch.setenv("PREFECT_API_URL", api_url)
    return api_url
