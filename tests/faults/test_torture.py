"""A sweep killed at random moments again and again: in the end every config has run, and once.

What has run is counted by marks that the experiment itself makes, not by our records.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from argus_tasks.runs.claims import standing_claims
from argus_tasks.runs.verifying import verify
from tests.argus_server import ArgusServer
from tests.support.sessions import records
from tests.support.told import assert_told_well

ROOT = Path(__file__).parents[2]
CONFIGS = 40
WORKERS = 2

SWEEP = """
name: {name}
project: p
experiment: tests.support.experiments:counted
results_root: {results}
base: {{marks: {marks}}}
grid: {{x: [{values}]}}
execution: {{mode: process_pool, workers: 2, stop_grace_s: 1}}
"""


class Torture:
    """One results root, its marks, and the sweeps that are started on it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.results, self.marks = folder / "results", folder / "marks"
        self.marks.mkdir()
        self._folder, self._environment = folder, environment

    def start(self, name: str = "tortured") -> subprocess.Popen[str]:
        file = self._folder / f"{name}.yaml"
        values = ", ".join(map(str, range(CONFIGS)))
        file.write_text(
            SWEEP.format(name=name, results=self.results, marks=self.marks, values=values)
        )
        return subprocess.Popen(
            [sys.executable, "-m", "argus_tasks", "run", str(file)],
            cwd=ROOT,
            env=os.environ | self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def deliver(self) -> None:
        """What the last sweep's exit has not waited for is in the outbox; send it."""
        words = [sys.executable, "-m", "argus_tasks", "outbox", "send"]
        env = os.environ | self._environment
        subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, timeout=90)

    def started(self) -> Counter[int]:
        """How often each config's experiment was begun."""
        return Counter(int(path.name.split("-")[0]) for path in self.marks.iterdir())

    def succeeded(self) -> set[int]:
        return {
            record["config"]["x"]
            for record in records(self.results)
            if record["status"] == "succeeded"
        }


def wait_until_gone(mark: str) -> None:
    """Until the killed sweep's workers are gone, too: they die by themselves."""
    deadline = time.monotonic() + 15
    while any(_marked(folder, mark) for folder in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline, "workers outlive their sweep"
        time.sleep(0.02)


def _marked(folder: Path, mark: str) -> bool:
    try:
        return mark.encode() in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def tortured(tmp_path: Path, api_url: str, kills: int, seed: int) -> tuple[Torture, ArgusServer]:
    """Kill a sweep so many times, the group and the parent alone in turn, and let it end."""
    dice = random.Random(seed)
    with ArgusServer() as monitor:
        mark = f"ARGUS_TORTURE={tmp_path}"
        torture = Torture(
            tmp_path,
            {
                "PREFECT_API_URL": api_url,
                "ARGUS_URL": monitor.url,
                "ARGUS_OUTBOX_DIR": str(tmp_path / "outbox"),
                **dict([mark.split("=", 1)]),
            },
        )
        expected: Counter[int] = Counter()
        for kill in range(kills):
            began = torture.started()
            sweep = torture.start()
            wanted = sum(began.values()) + dice.randrange(
                0, max(2, 2 * (CONFIGS - len(expected)) // kills)
            )
            deadline = time.monotonic() + 90
            while sum(torture.started().values()) < wanted and sweep.poll() is None:
                assert time.monotonic() < deadline, "it does not get on"
                time.sleep(0.005)
            time.sleep(dice.random() * 0.4)
            with suppress(ProcessLookupError):  # it has come to its end before the kill
                if kill % 2:
                    os.kill(sweep.pid, signal.SIGKILL)
                else:
                    os.killpg(sweep.pid, signal.SIGKILL)
            sweep.communicate()
            wait_until_gone(mark)
            done = torture.succeeded() if torture.results.exists() else set()
            started = torture.started()
            in_flight = {x for x in started if started[x] > began[x] and x not in done}
            assert len(in_flight) <= WORKERS, "only what was in flight is to run again"
            for x in in_flight:
                expected[x] += 1
            if torture.results.exists():
                assert verify(torture.results).findings == []
        last = torture.start()
        out, _ = last.communicate(timeout=240)
        assert last.returncode == 0, out
        assert f"{CONFIGS} of {CONFIGS} succeeded" in out
        assert torture.started() == Counter({x: 1 + expected[x] for x in range(CONFIGS)})
        found = [record["config"]["x"] for record in records(torture.results)]
        assert sorted(found) == list(range(CONFIGS)), "one folder a config"
        assert torture.succeeded() == set(range(CONFIGS))
        assert verify(torture.results).findings == []
        assert standing_claims(torture.results) == []
        torture.deliver()
        return torture, monitor


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(kills: int, api_url: str, tmp_path: Path) -> None:
    _, monitor = tortured(tmp_path, api_url, kills, seed=20 + kills)
    (batch_id,) = {row["batch_id"] for row in monitor.rows()}
    last = assert_told_well(monitor, batch_id)
    assert len(last) == CONFIGS
    assert {row["event_type"] for row in last.values()} == {"job_done"}


def test_two_supervisors_at_once_run_no_config_twice(api_url: str, tmp_path: Path) -> None:
    torture = Torture(tmp_path, {"PREFECT_API_URL": api_url})
    sweeps = [torture.start(name) for name in ("one", "two")]
    for sweep in sweeps:
        out, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == 0, out
        assert f"{CONFIGS} of {CONFIGS} succeeded" in out
    assert torture.started() == Counter(dict.fromkeys(range(CONFIGS), 1))
    assert len(records(torture.results)) == CONFIGS
    by_batch = Counter(record["batch_id"] for record in records(torture.results))
    assert len(by_batch) == 2, "both had a share of the work"
    assert verify(torture.results).findings == []


def test_one_of_two_supervisors_is_killed_and_the_other_ends_it_all(
    api_url: str, tmp_path: Path
) -> None:
    torture = Torture(tmp_path, {"PREFECT_API_URL": api_url})
    first, second = torture.start("one"), torture.start("two")
    deadline = time.monotonic() + 90
    while len({record["batch_id"] for record in records(torture.results)}) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, _ = second.communicate(timeout=240)
    assert second.returncode == 0, out
    assert torture.succeeded() == set(range(CONFIGS))
    twice = [x for x, count in torture.started().items() if count > 1]
    assert len(twice) <= WORKERS
    assert max(torture.started().values()) <= 2
    assert verify(torture.results).findings == []
