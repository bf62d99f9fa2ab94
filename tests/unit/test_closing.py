"""What CI is told by a test run's end, and what `.ci/run` says last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLAKY = """
from pathlib import Path
import time
import pytest
def test_steady():
    pass
def test_late():
    mark = Path(__file__).with_name("tried")
    tried = mark.exists()
    mark.touch()
    assert tried
def test_never():
    pytest.skip(WHY)
@pytest.mark.timeout(1)
def test_long():
    time.sleep(SECONDS)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "seconds", "told"),
    [
        ("no chromium to show the report in", 0, ""),
        ("no time", 0, "not on tests/allowed_skips.txt: test_it.py::test_never: no time"),
        ("no chromium to show the report in", 3, "FAILED test_it.py::test_long"),
    ],
    ids=["well", "skipped", "too long twice"],
)
def test_ci_holds_skips_to_the_list_and_names_second_tries_last(
    tmp_path: Path, reason: str, seconds: int, told: str
) -> None:
    """`.ci/run` itself, with a `make` that runs a flaky test in place of the suite."""
    tree, programs, temporary = (tmp_path / name for name in ("tree", "bin", "temporary"))
    for folder in (tree / ".ci", programs, temporary):
        folder.mkdir(parents=True)
    (tree / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
    text = FLAKY.replace("WHY", repr(reason)).replace("SECONDS", str(seconds))
    (tree / "test_it.py").write_text(text)
    (programs / "make").write_text(
        f'#!/bin/sh\n[ "$1" = test-all ] || exit 0\n'
        f"exec {sys.executable} -m pytest -p tests.support.closing -n1 test_it.py\n"
    )
    (programs / "make").chmod(0o755)
    (programs / "chromium").symlink_to("/bin/true")
    given = {key: value for key, value in os.environ.items() if key != "CI"}
    given |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", str(tree / ".ci" / "run")],
        env=given | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not told), done.stdout + done.stderr
    assert told in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last == "==> 1 tests passed only at the second try: test_it.py::test_late"
    assert list(temporary.glob("tmp.*")) == []
