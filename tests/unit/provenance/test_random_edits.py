"""Random edits over a random graph of imports: no silent wrong reuse, and no false alarm."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from argus_tasks.provenance.comparison import CodeState
from tests.unit.provenance.conftest import NewLab
from tests.unit.provenance.lab import Lab

MODULE = """
VALUE = {value}
{imports}

def used(config):
    found = {{"{name}": VALUE}}
{calls}
    return found
"""


class Graph:
    """Modules, flat and in packages, that import later ones: at once, in a function, or only if
    they are there. Each returns the values that it really used, and those of what it called."""

    def __init__(self, lab: Lab, dice: random.Random) -> None:
        self.lab = lab
        self.dice = dice
        self.names = ["train"] + [
            dice.choice([f"m{at}", f"pkg.m{at}", f"pkg.sub.m{at}"]) for at in range(1, 7)
        ]
        self.values = dict.fromkeys(self.names, 0)
        self.shown = dict.fromkeys(self.names, 0)  # what an import of it gives
        self.edges = {
            name: [
                (later, dice.choice(["now", "lazy", "optional"]))
                for later in self.names[at + 1 :]
                if dice.random() < 0.5
            ]
            for at, name in enumerate(self.names)
        }
        # Some are not there at first: imports of them fail, and are passed over.
        self.there = {name: name == "train" or dice.random() < 0.7 for name in self.names}
        for folder in ("pkg", "pkg/sub"):
            lab.write(f"{folder}/__init__.py", "")
        for name in self.names:
            if self.there[name]:
                self.write(name)

    def path(self, name: str) -> str:
        return f"{name.replace('.', '/')}.py"

    def write(self, name: str) -> None:
        imports, calls = [], []
        for other, how in self.edges[name]:
            alias = other.replace(".", "_")
            lines = ["try:", f"    import {other} as {alias}"]
            lines += ["except ImportError:", f"    {alias} = None"]
            if how == "now":
                imports += lines
            else:
                calls += [f"    {line}" for line in lines]
            calls += [f"    if {alias}:", f"        found.update({alias}.used(config))"]
        text = MODULE.format(
            value=self.values[name],
            imports="\n".join(imports),
            name=name,
            calls="\n".join(calls),
        )
        if name == "train":
            text += "\n\ndef run(config):\n    return used(config)\n"
        path = self.lab.write(self.path(name), text)
        if self.dice.random() < 0.9:  # as `cp -p` and rsync do
            os.utime(path, (1_700_000_000, 1_700_000_000))
        self.there[name] = True

    def edit(self) -> str:
        """One random edit; its name."""
        kind = self.dice.choice(
            [*["value"] * 5, "comment", "touch", "hide", "remove", "add", "add", "unrelated"]
        )
        there = [name for name in self.names if self.there[name] is (kind != "add")]
        name = self.dice.choice(there or ["train"])
        path = self.lab.home / self.path(name)
        if kind == "value" and self.there[name]:
            hidden = self.shown[name] != self.values[name]
            self.values[name] = (self.values[name] + 1) % 10  # of equal size
            self.shown[name] = self.shown[name] if hidden else self.values[name]
            self.write(name)
        elif kind == "comment" and self.there[name]:
            path.write_text(path.read_text() + "# more\n")
        elif kind == "touch" and self.there[name]:
            path.write_bytes(path.read_bytes())
        elif kind == "hide" and name != "train" and self.there[name]:
            package = path.with_suffix("")
            package.mkdir(exist_ok=True)
            (package / "__init__.py").write_text(path.read_text().replace("VALUE = ", "VALUE = 1"))
            self.shown[name] = int(f"1{self.values[name]}")
        elif kind == "remove" and name != "train":
            path.unlink(missing_ok=True)
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            self.there[name] = False
            self.shown[name] = self.values[name]
        elif kind == "add" and not self.there[name]:
            self.write(name)
        elif kind == "unrelated":
            self.lab.write(f"notes{self.dice.randrange(9)}.py", "VALUE = 1\n")
        return f"{kind} {name}"


def check(lab: Lab, dice: random.Random, edits: int) -> None:
    graph = Graph(lab, dice)
    ran = lab.run()
    for _ in range(edits):
        done = [graph.edit() for _ in range(dice.randint(1, 2))]
        manifest = lab.store.manifest(ran.manifest or "")
        assert manifest is not None
        before = {file.name: file.digest for file in manifest.files}
        state = lab.compare(ran).state
        again = lab.run()
        after_manifest = lab.store.manifest(again.manifest or "")
        assert after_manifest is not None
        after = {file.name: file.digest for file in after_manifest.files}
        if state <= CodeState.COSMETIC:
            assert again.result == ran.result, f"silent wrong reuse after {done}"
        if before == after:
            assert state is CodeState.SAME, f"false alarm after {done}"
        if again.result != ran.result:
            assert state is CodeState.CHANGED, f"a change is not noticed after {done}"
        for name, value in again.result.items():
            assert value == graph.shown[name], f"old code was run after {done}"
        assert lab.compare(again).state is CodeState.SAME
        ran = again


@pytest.mark.parametrize("seed", range(3))
def test_random_edits(seed: int, new_lab: NewLab) -> None:
    check(new_lab(), random.Random(seed), edits=6)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["warm", "fresh", "script"])
@pytest.mark.parametrize("seed", range(100, 106))
def test_many_random_edits(seed: int, mode: str, new_lab: NewLab) -> None:
    check(new_lab(mode=mode), random.Random(seed), edits=12)
