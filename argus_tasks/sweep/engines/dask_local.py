"""A dask cluster on this machine, in processes that end with the one that has started it.

Its scheduler is not in the sweep's process, which has one GIL for everything; and dask starts its
workers with a new import of `__main__`, which here is nobody's script.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
_BOOT = (
    "import sys; sys.path.append(sys.argv[2]);"
    "from argus_tasks.sweep.engines.dask_local import main;"
    "main(int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))"
)
_NODES = 2
_LOOK_S = 0.5
_START_S = 60.0
_END_S = 5.0


class LocalDask:
    """Two dask workers at most, with as many threads as there are runs at once.

    Attributes:
        address: of its scheduler; on the loopback only.
        security: what a client needs: without it nobody on this machine can connect.
    """

    def __init__(self, runs_at_once: int) -> None:
        from distributed import Security

        self.security: Any = Security.temporary()  # type: ignore[no-untyped-call]
        nodes = min(_NODES, runs_at_once)
        threads = -(-runs_at_once // nodes)
        answer, its_answer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    _BOOT,
                    str(its_answer),
                    _PACKAGE_ROOT,
                    str(os.getpid()),
                    str(nodes),
                    str(threads),
                ],
                stdin=subprocess.PIPE,
                pass_fds=(its_answer,),
                start_new_session=True,
            )
        finally:
            os.close(its_answer)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead already: it has no answer, either
            self._process.stdin.write(pickle.dumps(self.security) + b"\n")
            self._process.stdin.flush()
        with open(answer, encoding="utf-8") as lines:  # noqa: PTH123 - a pipe
            said = json.loads(lines.readline() or "{}")
        self.address: str = said.get("address", "")
        if not self.address:
            self.close()
            raise BadInput(
                "mode is 'dask', but its cluster on this machine does not start:"
                f" {said.get('error', 'its process ended')}."
            )

    def close(self) -> None:
        """End all of it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_S + _LOOK_S + 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(answer: int, parent: int, nodes: int, threads: int) -> None:
    """The cluster's own process: until its parent closes its stdin, or is no more."""
    scratch = tempfile.mkdtemp(prefix="argus-dask-")
    try:
        asyncio.run(_serve(answer, parent, nodes, threads, scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        # What still runs in a dask worker sees its parent end, and ends at once.
        os._exit(0)


async def _serve(answer: int, parent: int, nodes: int, threads: int, scratch: str) -> None:
    from distributed import LocalCluster

    security = pickle.load(sys.stdin.buffer)
    with open(answer, "w", encoding="utf-8") as line:
        try:
            cluster = await LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=nodes,
                threads_per_worker=threads,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,
                local_directory=scratch,
                security=security,
                silence_logs=logging.CRITICAL,
                asynchronous=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent says so
            line.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
            return
        line.write(json.dumps({"address": cluster.scheduler_address}) + "\n")
    await _end_of(parent)
    if os.getppid() == parent:
        closing: Any = cluster.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(closing, _END_S)


async def _end_of(parent: int) -> None:
    """Wait until the parent has hung up or is gone."""
    hung_up = asyncio.Event()
    reader = sys.stdin.buffer.fileno()

    def read() -> None:
        if not os.read(reader, 4096):
            asyncio.get_running_loop().remove_reader(reader)
            hung_up.set()

    asyncio.get_running_loop().add_reader(reader, read)
    while os.getppid() == parent and not hung_up.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(hung_up.wait(), _LOOK_S)
