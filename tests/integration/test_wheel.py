"""What `pip install argus-tasks` gives, away from this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_an_installed_wheel_runs_a_sweep_in_a_folder_with_its_own_flows(
    served: str, tmp_path: Path
) -> None:
    wheels, target, folder = tmp_path / "wheels", tmp_path / "site", tmp_path / "user"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True, timeout=170)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / "__init__.py").write_text("raise SystemExit('the wrong flows')\n")
    code = (
        "import argus_tasks, argus_tasks.flows, sys\n"
        "from pathlib import Path\n"
        "for module in (argus_tasks, argus_tasks.flows):\n"
        "    assert Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__\n"
        "summary = argus_tasks.sweep_flow([{'x': 1}], lambda ctx: {'y': ctx.config['x']})\n"
        "assert summary.ok\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        cwd=folder,
        env={**os.environ, "PREFECT_API_URL": served, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
