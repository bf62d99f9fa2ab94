"""What the faults share."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import wait_gone
from tests.support.server_fixtures import bench, cache, make_bench

__all__ = ["bench", "cache", "make_bench"]

LEFT_S = 60.0


@pytest.fixture
def nap(monkeypatch: pytest.MonkeyPatch) -> str:
    """A number of seconds, this test's own, that its grandchildren have on their command lines."""
    seconds = f"98765.{uuid.uuid4().int % 10**12}"
    monkeypatch.setenv("ARGUS_ZOO_NAP", seconds)
    return seconds


@pytest.fixture
def mark(nap: str) -> Iterator[str]:
    """In the environment of all that a test's workers start; at the end nobody has it."""
    mark = f"ARGUS_ZOO={uuid.uuid4().hex}"
    yield mark
    wait_gone(mark, nap, seconds=LEFT_S)


@pytest.fixture
def small_root(tmp_path: Path) -> Iterator[Path]:
    """A results root that holds 1 MB."""
    yield from mounted(tmp_path / "small", "size=1m")


@pytest.fixture
def root_of_few(tmp_path: Path) -> Iterator[Path]:
    """A results root that holds 100 files and folders."""
    yield from mounted(tmp_path / "few", "nr_inodes=100")


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs with these options, for a test."""
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "argus-tasks-test", str(folder)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small tmpfs cannot be mounted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
