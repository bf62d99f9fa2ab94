"""Sweeps that are to be ended at any moment, and what must hold of them in the end.

What has run is counted by marks that the experiment itself makes, not by our records.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from argus_tasks.runs.ledger.claims import read_claims
from argus_tasks.runs.ledger.verification import verify
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]
WORKERS = 2

SWEEP = """
name: {name}
project: p
experiment: tests.support.experiments:counted
results_root: {results}
base: {{marks: {marks}, gate: {gate}}}
grid: {{x: [{values}]}}
execution: {{mode: process_pool, workers: 2, stop_grace_s: 1}}
{more}
"""
# The command line, with a stop button that is looked at more often than every ten seconds.
ASKS_OFTEN = """
import sys
from argus_tasks.reporting import reporter
reporter.STOP_POLL_S = 0.5
from argus_tasks.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Torture:
    """One results root, its marks, and the sweeps that are started on it."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        configs: int = 40,
        *,
        results: Path | None = None,
        more: str = "",
        gated: bool = False,
    ) -> None:
        """`more`: of the sweep file; `gated`: experiments wait until they are `let`."""
        self.results, self.marks = results or folder / "results", folder / "marks"
        self.configs = configs
        self.mark = f"ARGUS_TORTURE={folder}"
        self.marks.mkdir()
        self.gate = folder / "gate" if gated else None
        if gated:
            self.let(0)
        name, _, value = self.mark.partition("=")
        self._folder, self._more = folder, more
        self.environment = {**environment, name: value}

    def start(self, name: str = "tortured", **environment: str) -> subprocess.Popen[str]:
        """The sweep, as a process of its own group."""
        file = self._folder / f"{name}.yaml"
        values = ", ".join(map(str, range(self.configs)))
        file.write_text(
            SWEEP.format(
                name=name,
                results=self.results,
                marks=self.marks,
                gate=self.gate or "null",
                values=values,
                more=self._more,
            )
        )
        return subprocess.Popen(
            [sys.executable, "-c", ASKS_OFTEN, "run", str(file)],
            cwd=ROOT,
            env=os.environ | self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def let(self, first: int | None = None) -> None:
        """From now on none of the first so many configs waits; by default none at all."""
        assert self.gate is not None
        written = self.gate.with_suffix(".new")
        written.write_text(str(self.configs if first is None else first))
        written.rename(self.gate)

    def hold(self, sweep: subprocess.Popen[str], first: int) -> None:
        """Let the first so many, and wait until the next ones are held in the workers."""
        self.let(first)
        self.wait(sweep, lambda: len(self.started()) >= first + WORKERS)

    def ends(self, sweep: subprocess.Popen[str], code: int = 0) -> str:
        """What the sweep says until it ends, and that it does so with this code."""
        out, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == code, out
        return out

    def wait(
        self, sweep: subprocess.Popen[str], condition: Callable[[], bool], seconds: float = 120
    ) -> None:
        """Wait for it while the sweep runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            if sweep.poll() is not None or time.monotonic() > deadline:
                sweep.kill()
                raise AssertionError(f"it did not come to pass: {sweep.communicate()[0]}")
            time.sleep(0.005)

    def kill(self, sweep: subprocess.Popen[str], *, alone: bool = False) -> None:
        """SIGKILL the sweep's whole group, or its parent alone; until nothing of it is left."""
        if alone:
            os.kill(sweep.pid, signal.SIGKILL)
        else:
            os.killpg(sweep.pid, signal.SIGKILL)
        sweep.communicate()
        wait_until_gone(self.mark)

    def command(self, *words: str) -> str:
        """What another command prints; it must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "argus_tasks", *words],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deliver(self) -> None:
        """What the last sweep's exit has not waited for is in the outbox; send it."""
        self.command("outbox", "send")

    def started(self) -> Counter[int]:
        """How often each config's experiment was begun."""
        return Counter(int(path.name.split("-")[0]) for path in self.marks.iterdir())

    def begun(self) -> int:
        """How many experiments have been begun."""
        return len(list(self.marks.iterdir()))

    def succeeded(self) -> set[int]:
        """The configs that have."""
        return {
            record["config"]["x"]
            for record in records(self.results)
            if record["status"] == "succeeded"
        }

    def assert_whole(self) -> None:
        """Every config has succeeded, once; files agree, and no claim is left."""
        found = [r["config"]["x"] for r in records(self.results) if r["status"] == "succeeded"]
        assert sorted(found) == list(range(self.configs)), "one success a config"
        assert verify(self.results).findings == []
        assert read_claims(self.results) == []


def wait_until_gone(mark: str) -> None:
    """Until the killed sweep's workers are gone, too: they die by themselves."""
    deadline = time.monotonic() + 60
    while any(_marked(folder, mark) for folder in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline, "workers outlive their sweep"
        time.sleep(0.02)


def _marked(folder: Path, mark: str) -> bool:
    try:
        return mark.encode() in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
