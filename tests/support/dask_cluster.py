"""A dask cluster as others run it: a scheduler and workers, each started by its own command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_S = 60.0


@contextmanager
def dask_cluster(
    folder: Path, *, workers: int = 2, threads: int = 2, before_worker: Sequence[str] = ()
) -> Iterator[str]:
    """Its address; `before_worker` comes before each worker's command."""
    told = folder / "scheduler.json"
    scheduler = ["scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    worker = ["worker", "--nthreads", str(threads), "--no-dashboard", "--memory-limit", "0"]
    worker += ["--local-directory", str(folder)]
    processes = [_start([*scheduler, "--scheduler-file", str(told)])]
    try:
        command = [*worker, "--scheduler-file", str(told)]
        processes += [_start(command, before_worker) for _ in range(workers)]
        deadline = time.monotonic() + START_S
        while not told.exists() or not told.read_text():
            assert time.monotonic() < deadline, "no dask scheduler"
            time.sleep(0.05)
        yield str(json.loads(told.read_text())["address"])
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(command: Sequence[str], before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    quiet = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"}
    full = [*before, sys.executable, "-m", "dask", *command]
    return subprocess.Popen(full, env=quiet, start_new_session=True)
