"""A small project on disk, real Python processes that run it, and what is recorded of them.

`ways.py` is written against `Lab` alone, so that whole sweeps can stand in for these processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.provenance.acceptance import Acceptances
from argus_tasks.provenance.comparison import CodeComparison, Comparer, Present
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.project import ExperimentMark, Move, Project

# A worker as it will be: the hooks come before the user's code, which then runs once a line.
DRIVER = """
import json, os, subprocess, sys
from argus_tasks.provenance.collection import CodeCollector
from argus_tasks.provenance.distributions import editable_folders
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.recording.import_hooks import child_value, install, tell_children
from argus_tasks.provenance.recording.recorder import Recorder
from argus_tasks.provenance.recording.scope import CodeScope

mode, top, folder, results, entry = sys.argv[1:]
editable = editable_folders()
scope = CodeScope(top, results, tuple(editable.values()))
hooked = mode not in ("sequential",)
recorder = install(scope) if hooked else Recorder(scope)
if hooked:
    tell_children(recorder)
store = ObjectStore(results + "/.sweep/objects", "batch")
collector = CodeCollector(recorder, store, editable)
if folder not in sys.path:
    sys.path.insert(0, folder)
os.chdir(folder)
function = None

def call(config):
    global function
    if mode == "script":
        text = subprocess.run([sys.executable, entry + ".py", json.dumps(config)],
                              check=True, capture_output=True, text=True).stdout
        return json.loads(text.splitlines()[-1])
    if function is None:
        import importlib
        function = importlib.import_module(entry).run
    return function(config)

def one(config):
    begun = collector.begin()
    try:
        result = call(config)
    except Exception as error:
        import traceback
        traceback.print_exc()
        result = "error: " + repr(error)
    return {"begun": begun, "ended": collector.end(), "result": result}

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
if mode != "script":
    import importlib
    function = importlib.import_module(entry).run
collector.prepare()
out.write("ready\\n"); out.flush()
for line in sys.stdin:
    config = json.loads(line)
    if mode == "fresh":
        if collector.stale():
            out.write("stale\\n"); out.flush()
            continue
        pid = os.fork()
        if pid == 0:
            out.write(json.dumps(one(config)) + "\\n"); out.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    else:
        out.write(json.dumps(one(config)) + "\\n"); out.flush()
"""

SCRIPT_TAIL = """
if __name__ == "__main__":
    import json as _json, sys as _sys
    print(_json.dumps(run(_json.loads(_sys.argv[1]))))
"""


@dataclass(frozen=True)
class Ran:
    """A run: what the experiment returned, and the names of its manifests."""

    result: Any
    manifest: str | None
    begun: str | None
    mark: ExperimentMark


class Worker:
    """A process that runs one config after another."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        words = [lab.python, "-P", "-c", DRIVER, lab.mode, str(lab.top), str(lab.folder)]
        self._process = subprocess.Popen(
            [*words, str(lab.results), lab.entry],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=lab.environment,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, **config: Any) -> Ran | None:
        """None where the worker is too old for a fork: it has other code than there is."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(config) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the worker has died"
        if line == "stale\n":
            return None
        said = json.loads(line)
        return Ran(said["result"], said["ended"], said["begun"], self._lab.mark())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@dataclass
class Lab:
    """One project, and the results root of its sweeps."""

    place: Path
    mode: str = "warm"
    python: str = sys.executable
    entry: str = "train"
    below: str = ""
    git: bool = True
    extra_environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.place / "project"
        self.home.mkdir()
        self.results = self.place / "results"
        if self.git:
            (self.home / ".git").mkdir()
        self.workers: list[Worker] = []

    @property
    def top(self) -> Path:
        return Project.of(self.folder).top

    @property
    def folder(self) -> Path:
        return self.home / self.below

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.results / ".sweep" / "objects")

    @property
    def accepted(self) -> Acceptances:
        return Acceptances(self.results / ".sweep" / "accepted.jsonl")

    @property
    def environment(self) -> dict[str, str]:
        environment = {**os.environ, **self.extra_environment}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def write(self, name: str, text: str) -> Path:
        """A file of the project; the entry file of a script gets what calls it."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.mode == "script" and path.name == f"{self.entry}.py":
            text += SCRIPT_TAIL
        path.write_bytes(text.encode())
        return path

    def edit(self, name: str, before: str, after: str) -> Path:
        path = self.home / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        return path

    def worker(self) -> Worker:
        """A process started now. What was written before it is older than it by more than the
        clock's grain, as a person's edits are."""
        for path in self.home.rglob("*.py"):
            wait_past_the_grain(path)
        worker = Worker(self)
        self.workers.append(worker)
        return worker

    def run(self, **config: Any) -> Ran:
        """A run in a process of its own."""
        worker = self.worker()
        ran = worker.run(**config)
        worker.close()
        assert ran is not None
        return ran

    def mark(self) -> ExperimentMark:
        path = self.folder / f"{self.entry.replace('.', '/')}.py"
        return ExperimentMark.of(Project.of(self.folder), path, "run")

    def compare(self, ran: Ran, **settings: Any) -> CodeComparison:
        """The run beside what there is now."""
        now = self.mark()
        move = Move.between(ran.mark.entry, now.entry) if ran.mark.entry != now.entry else None
        comparer = Comparer(
            self.store,
            str(self.top),
            settings.pop("present", None) or Present(),
            self.accepted,
            **settings,
        )
        return comparer.compare(ran.manifest, move)

    def close(self) -> None:
        for worker in self.workers:
            if not worker._process.stdin.closed:  # type: ignore[union-attr]
                worker.close()


def wait_past_the_grain(path: Path) -> None:
    """Wait until the last change of a file is older than the clocks can tell apart."""
    while time.time_ns() < path.stat().st_ctime_ns + 60_000_000:
        time.sleep(0.005)
