"""A process of ours loads nothing out of the folder that it is started in."""

from __future__ import annotations

import subprocess
from pathlib import Path

from argus_tasks.base.processes import python_calling


def test_the_working_folder_is_not_looked_into(tmp_path: Path) -> None:
    for name in ("argparse", "json", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    command = [*python_calling("argus_tasks.__main__"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: argus-tasks" in done.stdout
