"""What benchmarks share: contestants as processes, taking turns; ratios by pairs; tables.

Two habits make a figure worth something on a machine that others use too: contestants take turns
in one run (A B C, A B C, ...), and what is claimed is the median of the ratios of neighbours.
"""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from argus_tasks.base.repo import Repo, repo_of

ROOT = Path(__file__).parents[1]


class ContestantFailed(RuntimeError):
    """A contestant ended without a word, or took too long; the message has its last lines."""


@dataclass(frozen=True)
class Finished:
    """A contestant's process, seen from outside. Times are seconds since the epoch."""

    spawned_at: float
    exited_at: float
    cpu_s: float  # it and the children it waited for, from its first instruction on


class Contestant:
    """A process that prints one JSON line when its work is done, and then ends.

    It has a session of its own; leaving the context ends what is left of it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._command = list(command)
        self._timeout_s = timeout_s
        self.spawned_at = time.time()
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,  # what poll() says must hold for readline()
            start_new_session=True,
        )
        self._exited = threading.Event()
        # A thread, so that the exit is timed while the caller still asks the server.
        threading.Thread(target=self._wait_for_exit, daemon=True).start()

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()
        self._exited.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def told(self) -> dict[str, Any]:
        """Wait for the JSON line; what others say before it is passed over.

        Errors: ContestantFailed.
        """
        assert self._process.stdout is not None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        deadline, line = time.monotonic() + self._timeout_s, b" "
        while line and not line.startswith(b"{"):
            ready = poll.poll(1000 * max(0.0, deadline - time.monotonic()))
            line = self._process.stdout.readline() if ready else b""
        if not line:
            self._kill()
            self._exited.wait(5)
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace")[-2000:]
            ended = "" if ready else f" within {self._timeout_s:.0f} s"
            raise ContestantFailed(f"{' '.join(self._command)} told nothing{ended}:\n{last}")
        told: dict[str, Any] = json.loads(line)
        return told

    def finished(self) -> Finished:
        """Wait for the exit. Errors: ContestantFailed, also where the exit code is not 0."""
        if not self._exited.wait(self._timeout_s):
            raise ContestantFailed(f"still there {self._timeout_s:.0f} s after its work was done")
        if self._process.returncode:
            raise ContestantFailed(f"{' '.join(self._command)}: exit {self._process.returncode}")
        return Finished(self.spawned_at, self._exited_at, self._cpu_s)

    def _wait_for_exit(self) -> None:
        _, status, usage = os.wait4(self._process.pid, 0)
        self._exited_at = time.time()
        self._cpu_s = usage.ru_utime + usage.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._exited.set()

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


T = TypeVar("T")


def in_turns(
    contestants: Sequence[T], rounds: int, limit_s: float | None = None
) -> Iterator[tuple[int, T]]:
    """Each contestant once, then each again: `(turn, contestant)`.

    Turn 0 comes before the rounds and is for warming up: its figures do not count. With a limit, no
    further turn begins where one like the longest so far would not end within it; one always does.
    """
    began, longest_s = time.monotonic(), 0.0
    for turn in range(rounds + 1):
        turned = time.monotonic()
        if turn > 1 and limit_s is not None and turned - began + longest_s > limit_s:
            return
        for contestant in contestants:
            yield turn, contestant
        if turn:
            longest_s = max(longest_s, time.monotonic() - turned)


def summary(values: Iterable[float]) -> dict[str, float]:
    """Least, median and greatest, to four significant digits."""
    listed = sorted(values)
    of = {"min": listed[0], "median": statistics.median(listed), "max": listed[-1]}
    return {name: float(f"{value:.4g}") for name, value in of.items()}


def ratios(ours: Sequence[float], peer: Sequence[float]) -> dict[str, float]:
    """Ours over the peer's, round by round: 0.5 is half the time. Both have all the rounds."""
    return summary(mine / theirs for mine, theirs in zip(ours, peer, strict=True))


def header(
    benchmark: str, options: Mapping[str, Any], packages: Sequence[str] = ()
) -> dict[str, Any]:
    """What stands at the top of every benchmark's JSON: where, when, with what."""
    repo = _repo()
    sha = f"{repo.sha}{' (changed)' if repo.dirty else ''}" if repo else "no-git"
    return {
        "benchmark": benchmark,
        "schema_version": 2,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": dict(options),
        "machine": machine(),
        "versions": {**versions("argus-tasks", *packages), "git": sha},
    }


@cache  # the first benchmark's results change the tree
def _repo() -> Repo | None:
    return repo_of(ROOT)


def say(words: str) -> None:
    """Tell a person who waits."""
    print(f"==> {words}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": usable,
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "temporary_files_on": _file_system(tempfile.gettempdir()),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Text in columns; the first is left-aligned, the others right-aligned."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def text(line: list[str]) -> str:
        first, *others = zip(line, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(word.rjust(wide) for word, wide in others)])

    return "\n".join([text(lines[0]), "-" * len(text(lines[0])), *map(text, lines[1:])])


def _file_system(folder: str) -> str:
    mounts = [each for each in psutil.disk_partitions(all=True) if _holds(each.mountpoint, folder)]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else "unknown"


def _holds(mountpoint: str, folder: str) -> bool:
    return Path(folder).resolve().is_relative_to(mountpoint)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
