"""Sweeps as people start them: `argus-tasks run`, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.processes import heed_signals
from tests.support.sessions import records

ROOT = Path(__file__).parents[2]


class Sweep:
    """A sweep file in a folder of its own, and its results.

    Each run of `slow` leaves a mark when it starts; its task run is named by its x.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        n: int,
        seconds: float = 0.0,
        experiment: str = "slow",
    ) -> None:
        folder.mkdir()
        self.n = n
        self.folder = folder
        self.results = folder / "results"
        self.environment = {**environment, "PYTHONPATH": str(ROOT)}
        self.marks = folder / "marks"
        self.marks.mkdir()
        base = f"{{marks: {self.marks}, seconds: {seconds}}}" if experiment == "slow" else "{}"
        (folder / "sweep.yaml").write_text(
            f"name: {folder.name}\n"
            f"experiment: tests.support.experiments:{experiment}\n"
            f"results_root: {self.results}\n"
            f"base: {base}\n"
            f"grid: {{x: {list(range(n))}}}\n"
            "execution: {mode: process_pool, workers: 2}\n"
        )

    def start(self) -> subprocess.Popen[str]:
        """`argus-tasks run`"""
        self._process = self._popen("run", str(self.folder / "sweep.yaml"))
        return self._process

    def command(self, *words: str) -> str:
        """What another command prints; it must end well."""
        process = self._popen(*words)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, out + err
        return out

    def repair(self) -> str:
        """`argus-tasks status --repair`"""
        return self.command("status", "--repair", "--results-root", str(self.results))

    def started(self) -> int:
        """How many runs have been started so far, by their own marks."""
        return len(list(self.marks.iterdir()))

    def wait_until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for it, looking often, while the sweep that was started last runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                self._process.kill()
                out, err = self._process.communicate()
                raise AssertionError(f"it did not come to pass (exit {code}):\n{out}\n{err}")
            time.sleep(0.02)

    def records(self) -> list[dict[str, Any]]:
        """Every run.json."""
        return records(self.results)

    def _popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "argus_tasks", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
