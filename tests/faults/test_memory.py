"""A real cgroup of 512 MB: the kernel kills one worker, and that one run is named for it."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.oom_kills import OomCounter
from tests.support.sessions import records

LIMIT_MB = 512
SCRIPT = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from tests.faults import zoo
from tests.support.sessions import run_configs
configs = [{"fault": "memory"}] + [{"fault": "fine", "x": x} for x in range(9)]
options = {"fresh_process": True} if sys.argv[3] == "fresh" else {}
if len(sys.argv) > 4:
    options |= {"max_attempts": 2, sys.argv[4]: ["out of memory"]}
run_configs(configs, zoo.act, Path(sys.argv[2]), **options)
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup that holds at most 512 MB of memory, below this process's own."""
    parent = _own_memory_cgroup()
    if parent is None:
        pytest.skip("no memory cgroup can be made")
    folder = parent / f"argus-zoo-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        limits = [folder / "memory.max", folder / "memory.limit_in_bytes"]
        (limit,) = [each for each in limits if each.exists()]
        limit.write_text(str(LIMIT_MB << 20))
    except (OSError, ValueError):
        with suppress(OSError):
            folder.rmdir()
        pytest.skip("no memory cgroup can be made")
    with suppress(OSError):
        (folder / "memory.swap.max").write_text("0")
    yield folder
    folder.rmdir()


def _own_memory_cgroup() -> Path | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory", path.lstrip("/"))
        if controllers == "" and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup", path.lstrip("/"))
    return None


def kills(cgroup: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        if (cgroup / name).exists():
            facts = dict(line.split() for line in (cgroup / name).read_text().splitlines())
            return int(facts["oom_kill"])
    raise AssertionError("nobody counts")


def sweep_in(cgroup: Path, results_root: Path, *how: str) -> list[dict[str, Any]]:
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(cgroup), str(results_root), *how],
        check=True,
        timeout=120,
    )
    return records(results_root)


@pytest.mark.parametrize("how", ["warm", "fresh"])
def test_the_kernels_victim_is_named(how: str, cgroup: Path, results_root: Path) -> None:
    assert kills(cgroup) == 0
    found = sweep_in(cgroup, results_root, how)
    assert kills(cgroup) >= 1
    fine = [record for record in found if record["config"]["fault"] == "fine"]
    assert [record["status"] for record in fine] == ["succeeded"] * 9
    (victim,) = [record for record in found if record["config"]["fault"] == "memory"]
    assert (victim["status"], victim["cause"]) == ("failed", "out of memory")
    assert "because memory ran out; it had held up to" in victim["error_message"]
    assert "out of memory" not in json.dumps([record["cause"] for record in fine])


@pytest.mark.parametrize(("key", "tries"), [("retry_on", 2), ("not_on", 1)])
def test_and_retried_as_asked(key: str, tries: int, cgroup: Path, results_root: Path) -> None:
    found = sweep_in(cgroup, results_root, "warm", key)
    (victim,) = [record for record in found if record["config"]["fault"] == "memory"]
    assert (victim["cause"], victim["attempt"]) == ("out of memory", tries)
    assert kills(cgroup) == tries


def test_a_kill_by_somebody_else_is_not_the_kernels(cgroup: Path, results_root: Path) -> None:
    """Where the count can be read, and stays as it is."""
    script = SCRIPT.replace('"memory"', '"kill"')
    subprocess.run(
        [sys.executable, "-c", script, str(cgroup), str(results_root), "warm"],
        check=True,
        timeout=120,
    )
    assert kills(cgroup) == 0
    (victim,) = [r for r in records(results_root) if r["config"]["fault"] == "kill"]
    assert victim["cause"] == "signal SIGKILL"
    assert "this sweep did not send" in victim["error_message"]


def test_somebody_counts() -> None:
    counter = OomCounter()
    assert counter._read() is not None
    counter.close()
    assert counter.count() == 0
