"""The examples of the callbacks, by the command that their README gives."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer
from tests.support.callbacks import batches, points
from tests.support.monitor_rows import assert_reported_well, jobs_reported

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(("name", "jobs"), [("lightning", 1), ("keras", 1), ("hydra", 3)])
def test_its_command_shows_its_batch(
    name: str, jobs: int, monitor: ArgusServer, tmp_path: Path
) -> None:
    shutil.copytree(
        EXAMPLES / name, tmp_path / "examples" / name, ignore=shutil.ignore_patterns("results")
    )
    page = (EXAMPLES / name / "README.md").read_text()
    (command,) = re.findall(r"```sh\n(.*?)\n```", page)
    program, *words = shlex.split(command)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (batch_id,) = batches(monitor)
    last = assert_reported_well(monitor, batch_id)
    assert len(last) == jobs
    assert monitor.batch(batch_id)["status"] == "done"
    for job, rows in jobs_reported(monitor, batch_id).items():
        accuracy = [point.get("val_accuracy") for point in points(rows)]
        assert len(accuracy) == 8, job
        assert accuracy[-1] > 0.8, job
        assert rows[0]["data"]["dataset"] == "digits"
