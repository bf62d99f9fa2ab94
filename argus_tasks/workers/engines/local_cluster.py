"""Runs a cluster on this machine, in a process that leaves nothing behind.

The cluster is not in the sweep's process for three reasons: its scheduler would share the GIL with
the sweep; dask imports `__main__` again in its workers, which would be the user's script; and some
processes of Ray outlive their starter. So the process here is the subreaper of all that it starts,
and kills what is left when its parent closes the connection or dies.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.process_tree import inherit_orphans, kill_descendants
from argus_tasks.base.processes import python_calling
from argus_tasks.base.server_login import environment_for_experiments

_LOOK_S = 0.5
_END_S = 20.0
_KILL_PATIENCE_S = 10.0


class ClusterProcess:
    """A process that runs a cluster until it is closed.

    Args:
        mode: the engine's mode, for messages.
        module: a module whose `run_cluster(given, scratch, send, wait)` starts the cluster, calls
            `send` with its address, calls `wait`, and ends the cluster.
        given: the first argument of `run_cluster`.

    Attributes:
        address: the address of the cluster.
    """

    def __init__(self, mode: str, module: str, given: object) -> None:
        answer, its_answer = os.pipe()
        try:
            self._process = subprocess.Popen(
                python_calling(__name__, its_answer, os.getpid(), module),
                stdin=subprocess.PIPE,
                env=environment_for_experiments(),
                pass_fds=(its_answer,),
                start_new_session=True,
            )
        finally:
            os.close(its_answer)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, so it will not answer either
            self._process.stdin.write(pickle.dumps(given))
            self._process.stdin.flush()
        with open(answer, encoding="utf-8") as lines:  # noqa: PTH123 - a pipe
            reply = json.loads(lines.readline() or "{}")
        self.address: str = reply.get("address", "")
        if not self.address:
            self.close()
            raise BadInput(
                f"mode is '{mode}', but its cluster on this machine does not start:"
                f" {reply.get('error', 'its process ended')}."
            )

    def close(self) -> None:
        """End the cluster and its process."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(answer: int, parent: int, module: str) -> None:
    """Run the cluster until the parent closes this process's stdin, or dies."""
    inherit_orphans()
    os.set_inheritable(answer, False)
    scratch = tempfile.mkdtemp(prefix="argus-cluster-")
    given = pickle.load(sys.stdin.buffer)

    def send(**reply: str) -> None:
        with suppress(OSError):
            os.write(answer, (json.dumps(reply) + "\n").encode())

    try:
        run_cluster: Callable[..., None] = import_module(module).run_cluster
        run_cluster(given, scratch, send, lambda: _wait_for_the_end_of(parent))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent says so
        send(error=f"{type(error).__name__}: {error}")
    finally:
        kill_descendants(_KILL_PATIENCE_S)
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


class ParentGone(Exception):
    """The parent has died, so nobody waits for an orderly end."""


def _wait_for_the_end_of(parent: int) -> None:
    """Wait until the parent closes the connection. Raises ParentGone if it dies."""
    poll = select.poll()
    stdin: Any = sys.stdin.buffer.fileno()
    poll.register(stdin, select.POLLIN)
    while os.getppid() == parent:
        if poll.poll(_LOOK_S * 1000):
            if os.getppid() == parent:
                return
            break
    raise ParentGone
