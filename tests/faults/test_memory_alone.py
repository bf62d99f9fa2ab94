"""Runs that do not fit side by side: the kernel kills one, and it gets the machine alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from argus_tasks.runs.ledger.sweep_folder import batches
from tests.faults.test_memory import cgroup, kills
from tests.support.sessions import records

__all__ = ["cgroup"]

LIMIT_MB = 800
HOG_MB = 400

HOG = """
import time
def run(ctx):
    held = bytearray(ctx.config["mb"] << 20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(0.5)
    return {"mb": len(held) >> 20}
"""
SCRIPT = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from argus_tasks import sweep_flow
configs = [{"mb": mb, "x": x} for x, mb in enumerate([int(sys.argv[3])] * 4 + [1] * 6)]
options = eval(sys.argv[4])
print(sweep_flow(configs, "hog:run", results_root=sys.argv[2], workers=2, **options).sentence())
"""


@pytest.fixture
def roomy(cgroup: Path) -> Path:
    """A control group that holds the sweep's own process and one hog, and not two."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (cgroup / name).exists():
            (cgroup / name).write_text(str(LIMIT_MB << 20))
    return cgroup


def sweep_in(group: Path, root: Path, tmp_path: Path, api_url: str, **options: object) -> str:
    (tmp_path / "hog.py").write_text(HOG)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(group), str(root), str(HOG_MB), repr(options)],
        env={**os.environ, "PREFECT_API_URL": api_url, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def spans(root: Path) -> list[tuple[str, int, str, str]]:
    """Each attempt of the ledger: run, attempt, start and end."""
    (folder,) = batches(root)
    begun: dict[tuple[str, int], str] = {}
    found = []
    for fact in folder.facts():
        attempt = (fact["run_id"], fact["attempt"])
        if fact["event"] == "started":
            begun[attempt] = fact["at"]
        else:
            found.append((*attempt, begun[attempt], fact["at"]))
    return found


def test_who_ran_out_of_memory_is_tried_again_alone(
    roomy: Path, results_root: Path, tmp_path: Path, api_url: str
) -> None:
    told = sweep_in(roomy, results_root, tmp_path, api_url, max_attempts=2)
    assert kills(roomy) >= 1, "two of them did not fit"
    assert told == "10 of 10 succeeded"
    again = {record["run_id"] for record in records(results_root) if record["attempt"] == 2}
    assert again
    attempts = spans(results_root)
    for run_id, attempt, start, end in attempts:
        if run_id in again and attempt == 2:
            beside = [
                other
                for other, _, began, ended in attempts
                if other != run_id and began < end and start < ended
            ]
            assert beside == []


@pytest.mark.slow
def test_and_not_otherwise(roomy: Path, results_root: Path, tmp_path: Path, api_url: str) -> None:
    """Held to a floor, they run one by one of themselves, and nobody is killed."""
    told = sweep_in(
        roomy, results_root, tmp_path, api_url, min_free_memory=f"{int(HOG_MB * 1.1)}MiB"
    )
    assert told == "10 of 10 succeeded"
    assert kills(roomy) == 0
    assert {record["attempt"] for record in records(results_root)} == {1}
