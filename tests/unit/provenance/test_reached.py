"""Functions that no file holds: cells of a notebook, and functions of a running script."""

from __future__ import annotations

import linecache
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.provenance.comparison import CodeState, Comparer, Present
from argus_tasks.provenance.manifest import CELL, CodeFile, Manifest
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.reached import reached_cells
from tests.unit.provenance.lab import wait_past_the_grain


class Notebook:
    """Runs cells as IPython does: a name that is no file, the source in `linecache`."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self._count = 0

    def cell(self, text: str) -> None:
        self._count += 1
        name = f"<ipython-input-{id(self)}-{self._count}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), self.names)

    def cells(self) -> dict[str, str]:
        return {each.name: each.digest for each in reached_cells(self.names["train"])}


def notebook(loss: str = "1", scale: str = "10", unused: str = "1") -> Notebook:
    book = Notebook()
    book.cell(f"SCALE = {scale}\n")
    book.cell(f"def loss():\n    return {loss}\n")
    book.cell(f"def plot():\n    return {unused}\n")
    book.cell(
        "class Net:\n    @property\n    def size(self):\n        return width()\n"
        "def width():\n    return 3\n"
    )
    book.cell("def train(config):\n    return (lambda: loss() * SCALE + Net().size)()\n")
    return book


@pytest.mark.parametrize(
    ("changed", "state", "files"),
    [
        ({}, CodeState.SAME, ()),
        ({"loss": "2"}, CodeState.CHANGED, ("cell/loss",)),
        ({"scale": "11"}, CodeState.CHANGED, ("cell/SCALE",)),
        ({"unused": "2"}, CodeState.SAME, ()),
        ({"loss": "1  # so"}, CodeState.CHANGED, ("cell/loss",)),
    ],
)
def test_cells_that_are_reached_count_and_others_do_not(
    tmp_path: Path, changed: dict[str, str], state: CodeState, files: tuple[str, ...]
) -> None:
    """Way 6 (a cell's comment counts: the text of no other cell is stored to compare with)."""
    store = ObjectStore(tmp_path)
    cells = notebook().cells()
    assert cells.keys() == {"cell/train", "cell/loss", "cell/SCALE", "cell/Net", "cell/width"}
    name = store.put_manifest(
        Manifest(tuple(CodeFile(each, digest, CELL) for each, digest in cells.items()))
    )
    comparer = Comparer(store, str(tmp_path), Present(), cells=notebook(**changed).cells())
    comparison = comparer.compare(name)
    assert (comparison.state, comparison.files) == (state, files)


SCRIPT = """
import sys
from argus_tasks.provenance.collection import CodeCollector
from argus_tasks.provenance.comparison import Comparer, Present
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.recording.recorder import Recorder
from argus_tasks.provenance.recording.scope import CodeScope
import helper

SCALE = 1

def train():
    return helper.VALUE * SCALE

recorder = Recorder(CodeScope(sys.argv[1]))
store = ObjectStore(sys.argv[1] + "/objects")
collector = CodeCollector(recorder, store)
collector.begin()
train()
name = collector.end()
for _ in sys.argv[1:]:
    loaded = {path: seen.digest for path, seen in recorder.files.items()}
    comparer = Comparer(store, sys.argv[1], Present(loaded))
    print(comparer.compare(name).state.name, name)
    open(sys.argv[1] + "/helper.py", "a").write("VALUE = 3  # edited under the kernel\\n")
"""


def ran(folder: Path, *words: str) -> list[list[str]]:
    wait_past_the_grain(folder / "study.py")
    done = subprocess.run(
        [sys.executable, str(folder / "study.py"), str(folder), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_a_helper_of_main_is_code(tmp_path: Path) -> None:
    """Way 5: the script that was started is `__main__`, and imported by nobody."""
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    study = tmp_path / "study.py"
    study.write_text(SCRIPT)
    (state, name), *_ = ran(tmp_path)
    assert state == "SAME"
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    study.write_text(SCRIPT.replace("SCALE = 1", "SCALE = 2"))
    comparison = Comparer(ObjectStore(tmp_path / "objects"), str(tmp_path), Present()).compare(name)
    assert comparison.state is CodeState.CHANGED
    assert comparison.files == ("study.py",)


def test_a_module_edited_under_an_old_kernel_counts_as_loaded(tmp_path: Path) -> None:
    """Way 33: what counts in the kernel is what it has loaded; a later one sees the edit."""
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    (tmp_path / "study.py").write_text(SCRIPT)
    (before, name), (after, _) = ran(tmp_path, "twice")
    assert (before, after) == ("SAME", "SAME")
    store = ObjectStore(tmp_path / "objects")
    comparison = Comparer(store, str(tmp_path), Present()).compare(name)
    assert comparison.files == ("helper.py",)
    assert comparison.state is CodeState.CHANGED
