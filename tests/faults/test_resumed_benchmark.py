"""The forecast benchmark, killed and taken up again, beside one that nobody has interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.ids import canonical_json
from argus_tasks.runs.ledger.verification import verify
from tests.support.sessions import records
from tests.support.torture import ROOT, wait_until_gone
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SWEEP = """
name: forecast
experiment: experiment:run
results_root: {results}
base: {{lags: 12}}
grid: {{dataset: [nile, elnino]}}
variants:
  - {{model: mlp, hidden: 8, epochs: 60, batch_size: 32, learning_rate: 0.01}}
  - {{model: ridge, penalties: [1, 10]}}
repeats: 3
execution: {{workers: 2}}
"""
RUNS = 12


def start(api_url: str, example: Path, results: Path) -> subprocess.Popen[str]:
    file = example / "small.yaml"
    file.write_text(SWEEP.format(results=results))
    return subprocess.Popen(
        [sys.executable, "-m", "argus_tasks", "run", str(file)],
        cwd=example,
        env=os.environ | {"PREFECT_API_URL": api_url, "ARGUS_TORTURE": str(results)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ends_well(sweep: subprocess.Popen[str]) -> str:
    out, _ = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, out
    return out


def succeeded(results: Path) -> int:
    return sum(record["status"] == "succeeded" for record in records(results))


def table(results: Path) -> dict[str, Any]:
    """By config: its metrics, its curve, and its forecasts row by row."""
    found = {}
    for record in records(results):
        folder = record["dir"]
        curve = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found[canonical_json(record["config"])] = (
            record["status"],
            json.loads((folder / "metrics.json").read_text()),
            [(point["step"], point["metrics"]) for point in curve],
            (folder / "artifacts/forecast.csv").read_text(),
        )
    return found


def test_row_for_row_as_if_nothing_had_happened(api_url: str, tmp_path: Path) -> None:
    example = tmp_path / "forecast"
    ignored = shutil.ignore_patterns("results", "__pycache__")
    shutil.copytree(ROOT / "examples/forecast", example, ignore=ignored)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    ends_well(start(api_url, example, whole))

    killed = start(api_url, example, cut)
    wait_for(lambda: cut.exists() and succeeded(cut) > 0, 120)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_until_gone(f"ARGUS_TORTURE={cut}")
    done = succeeded(cut)
    assert 0 < done < RUNS
    out = ends_well(start(api_url, example, cut))
    assert f"{RUNS} of {RUNS} succeeded ({done} reused)" in out

    assert len(table(whole)) == RUNS
    assert table(cut) == table(whole)
    assert verify(cut).findings == []
