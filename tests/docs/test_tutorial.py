"""docs/tutorial.md, done as it says: its commands in their order, its files, its words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
STEP = re.compile(r"(?:<!-- ([^\n]*) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_tutorial_goes_as_it_says(served: str, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "examples" / "forecast",
        tmp_path / "examples" / "forecast",
        ignore=shutil.ignore_patterns("results", "__pycache__"),
    )
    demo = shell(tmp_path, "argus-tasks run examples/forecast/sweep.yaml")
    assert "48 of 48 succeeded" in demo
    answer = shell(tmp_path, "argus-tasks report examples/forecast/results")
    steps = STEP.findall(PAGE)
    (promised,) = [code for mark, kind, code in steps if kind == "text" and "wins on" in code]
    assert promised in answer

    said: list[str] = []
    edit = ""
    for mark, kind, code in steps:
        if mark.startswith("file: "):
            (tmp_path / mark.removeprefix("file: ")).write_text(code)
        elif mark.startswith("edit: "):
            changed_line(tmp_path / mark.removeprefix("edit: "), edit)
        if kind == "text":
            edit = code
        elif kind == "sh" and mark != "not run":
            code = code.replace("BATCH", newest_batch(tmp_path / "mine" / "results"))
            said.append(shell(tmp_path, code, codes=(0, 1) if "worse" in mark else (0,)))
    whole = "\n".join(said)
    assert "18 succeeded already, reused" in whole
    assert "36 of 36 succeeded (18 reused)" in whole
    assert "36 of 36 succeeded (36 reused)" in whole
    assert "ridge on nile" in said[0]
    assert "36 of 36 succeeded in" in said[-2]
    unchanged = [line for line in said[-1].splitlines() if " naive " in line or " ridge " in line]
    assert len(unchanged) == 8
    assert all(line.startswith("no evidence") for line in unchanged)


def shell(folder: Path, script: str, codes: tuple[int, ...] = (0,)) -> str:
    """What a shell with `set -e` prints; it must end with one of the codes."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode in codes, done.stdout
    return done.stdout


def changed_line(path: Path, line: str) -> None:
    """Put the line in the place of the one that begins alike."""
    begins = line.split("=")[0]
    old = path.read_text().splitlines(keepends=True)
    (index,) = [i for i, each in enumerate(old) if each.startswith(begins + "= weights[i]")]
    path.write_text("".join([*old[:index], line, *old[index + 1 :]]))


def newest_batch(root: Path) -> str:
    if not root.exists():
        return "BATCH"
    found = [json.loads(path.read_text()) for path in root.glob(".sweep/*/sweep.json")]
    return str(max(found, key=lambda state: state["created_at"])["batch_id"])
