"""Fixtures for real servers: each test has its state folder, the empty database is made once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.servers import Bench


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where the empty database is kept once it has been made."""
    return Path(os.environ["XDG_CACHE_HOME"])


@pytest.fixture
def make_bench(tmp_path: Path, cache: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(cache_folder: Path = cache) -> Bench:
        root = tmp_path / f"state{len(made)}"
        root.mkdir()
        made.append(Bench(root, cache_folder))
        return made[-1]

    yield make
    for bench in made:
        for pid in bench.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
