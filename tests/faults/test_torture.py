"""A sweep killed at random moments again and again: in the end every config has run, and once.

What has run is counted by marks that the experiment itself makes, not by our records.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from argus_tasks.runs.ledger.verification import verify
from tests.argus_server import ArgusServer
from tests.support.monitor_rows import assert_reported_well
from tests.support.sessions import records
from tests.support.torture import WORKERS, Torture, wait_until_gone

CONFIGS = 40


def tortured(tmp_path: Path, api_url: str, kills: int, seed: int) -> tuple[Torture, ArgusServer]:
    """Kill a sweep so many times, the group and the parent alone in turn, and let it end."""
    dice = random.Random(seed)
    with ArgusServer() as monitor:
        torture = Torture(
            tmp_path,
            {
                "PREFECT_API_URL": api_url,
                "ARGUS_URL": monitor.url,
                "ARGUS_OUTBOX_DIR": str(tmp_path / "outbox"),
            },
            CONFIGS,
        )
        expected: Counter[int] = Counter()
        for kill in range(kills):
            began = torture.started()
            sweep = torture.start()
            wanted = sum(began.values()) + dice.randrange(
                0, max(2, 2 * (CONFIGS - len(expected)) // kills)
            )
            while torture.begun() < wanted and sweep.poll() is None:
                time.sleep(0.005)
            time.sleep(dice.random() * 0.4)
            with suppress(ProcessLookupError):  # it has come to its end before the kill
                if kill % 2:
                    os.kill(sweep.pid, signal.SIGKILL)
                else:
                    os.killpg(sweep.pid, signal.SIGKILL)
            sweep.communicate()
            wait_until_gone(torture.mark)
            done = torture.succeeded() if torture.results.exists() else set()
            started = torture.started()
            in_flight = {x for x in started if started[x] > began[x] and x not in done}
            assert len(in_flight) <= WORKERS, "only what was in flight is to run again"
            for x in in_flight:
                expected[x] += 1
            if torture.results.exists():
                assert verify(torture.results).findings == []
        out = torture.ends(torture.start())
        assert f"{CONFIGS} of {CONFIGS} succeeded" in out
        assert torture.started() == Counter({x: 1 + expected[x] for x in range(CONFIGS)})
        assert len(records(torture.results)) == CONFIGS, "one folder a config"
        torture.assert_whole()
        torture.deliver()
        return torture, monitor


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(kills: int, api_url: str, tmp_path: Path) -> None:
    _, monitor = tortured(tmp_path, api_url, kills, seed=20 + kills)
    (batch_id,) = {row["batch_id"] for row in monitor.rows()}
    last = assert_reported_well(monitor, batch_id)
    assert len(last) == CONFIGS
    assert {row["event_type"] for row in last.values()} == {"job_done"}


def both_at_work(torture: Torture) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Two sweeps on one results root, when each has a share of the work."""
    first, second = torture.start("one"), torture.start("two")
    torture.wait(first, lambda: len({r["batch_id"] for r in records(torture.results)}) == 2)
    torture.let()
    return first, second


@pytest.mark.slow
def test_two_supervisors_at_once_run_no_config_twice(api_url: str, tmp_path: Path) -> None:
    torture = Torture(tmp_path, {"PREFECT_API_URL": api_url}, CONFIGS, gated=True)
    for sweep in both_at_work(torture):
        assert f"{CONFIGS} of {CONFIGS} succeeded" in torture.ends(sweep)
    assert torture.started() == Counter(dict.fromkeys(range(CONFIGS), 1))
    assert len(records(torture.results)) == CONFIGS
    torture.assert_whole()


def test_one_of_two_supervisors_is_killed_and_the_other_ends_it_all(
    api_url: str, tmp_path: Path
) -> None:
    torture = Torture(tmp_path, {"PREFECT_API_URL": api_url}, CONFIGS, gated=True)
    first, second = both_at_work(torture)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    torture.ends(second)
    twice = [x for x, count in torture.started().items() if count > 1]
    assert len(twice) <= WORKERS
    assert max(torture.started().values()) <= 2
    torture.assert_whole()
