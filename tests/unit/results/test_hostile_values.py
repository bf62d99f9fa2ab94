"""Values that a spreadsheet or a terminal would obey: they are shown, and do nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from argus_tasks.base.visible import visible

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
TURNED = "abc\u202etxt\x9b31m"
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "＝1"]
NUMBERS = ["-0.5", "+3", "-1e-3", "1e5", "-inf"]


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cells_of_csv_are_no_formulas(make_run: Callable[..., Path], tmp_path: Path) -> None:
    texts = [*FORMULAS, *NUMBERS]
    for index, text in enumerate(texts):
        make_run({"text": text, "=key()": index, "x": -0.5 - index}, {"loss": -0.5 * index})
    rows = list(
        csv.DictReader(io.StringIO(command(tmp_path, "results", str(tmp_path), "--csv", "-")))
    )
    assert len(rows) == len(texts)
    assert "'=key()" in rows[0]
    shown = {row["text"] for row in rows}
    assert shown == {*(f"'{visible(text)}" for text in FORMULAS), *NUMBERS}
    assert {float(row["x"]) for row in rows} == {-0.5 - index for index in range(len(texts))}
    assert {float(row["loss"]) for row in rows} == {-0.5 * index for index in range(len(texts))}


WAYS = [
    (),
    ("--csv", "-"),
    ("--json", "-"),
    ("--markdown", "-"),
    ("--latex", "-"),
    ("--pivot", "evil,kind"),
]
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("ways", WAYS, ids=lambda ways: "".join(ways[:1]) or "table")
def test_no_table_acts(
    ways: tuple[str, ...], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    _hostile_runs(make_run)
    out = command(tmp_path, "results", str(tmp_path), *ways)
    assert "owned" in out, "it is shown"
    assert not ACTS.search(out)
    if ways and ways[0] == "--json":
        runs = json.loads(out)["runs"]
        assert {run["config"]["evil"] for run in runs} >= {ESCAPE + "a", TURNED}, "exactly as it is"


def test_a_real_terminal_gets_no_sequence_of_a_value(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    _hostile_runs(make_run)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "argus_tasks", "results", str(tmp_path)],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"},
    ) as process:
        os.close(theirs)
        data = b""
        try:
            while chunk := os.read(ours, 65536):
                data += chunk
        except OSError:
            pass  # its end
        process.wait(60)
    os.close(ours)
    text = data.decode("utf-8", "replace")
    assert "owned" in text
    without_colours = re.sub("\x1b\\[[0-9;]*m", "", text)
    assert not ACTS.search(without_colours.replace("\r\n", "\n"))
    assert "\x9b" not in text


def _hostile_runs(make_run: Callable[..., Path]) -> None:
    make_run({"evil": ESCAPE + "a", "kind\x1b[31m": "x", "kind": "k"}, {"loss": 0.1})
    make_run({"evil": TURNED, "kind\x1b[31m": "y", "kind": "l\x1b[1m"}, {"loss\x1b[1m": 0.2})
    make_run({"evil": "c", "kind": "l"}, status="failed", error_message="died " + ESCAPE)


def test_commands_print_by_say_alone() -> None:
    """`say` shows what a terminal would act on; a bare print would let it through."""
    folder = Path(__file__).parents[3] / "argus_tasks" / "cli"
    bare = [
        f"{path.name}:{number}"
        for path in folder.glob("*.py")
        if path.name != "say.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"(?<![\w.])print\(", line)
    ]
    assert not bare
