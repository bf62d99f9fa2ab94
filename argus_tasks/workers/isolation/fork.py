"""Runs one attempt in a process of its own, forked from a worker that has loaded the experiment."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from argus_tasks.base.memfile import anonymous_file
from argus_tasks.base.process_tree import die_with, kill_descendants
from argus_tasks.workers.attempts.messages import Outcome
from argus_tasks.workers.attempts.reported_attempt import close_reporting
from argus_tasks.workers.isolation.death import Death
from argus_tasks.workers.isolation.evidence import Evidence
from argus_tasks.workers.isolation.protocol import dumps

_STRAYS_PATIENCE_S = 5.0


def can_fork() -> bool:
    """Whether this process can be forked safely: it has no other thread that may hold a lock.

    It is checked after a trial fork, because some libraries (OpenBLAS) end their threads before
    one.
    """
    if threading.active_count() > 1:
        return False
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return True
    if len(os.listdir(tasks)) == 1:  # noqa: PTH208
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return len(os.listdir(tasks)) == 1  # noqa: PTH208


def attempt_in_fork(
    run: Callable[[], Outcome], channel: socket.socket, evidence: Evidence
) -> bytes | Death:
    """Run the attempt in a forked process, and kill what it has left running.

    The outcome comes back through a file. So it is there as a whole or not at all, and it does not
    matter which other process holds the same descriptors.

    Returns:
        The outcome, pickled by `dumps`, or how the process died.
    """
    result = anonymous_file("outcome")
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            die_with(parent)
            channel.close()
            evidence.record_faults()
            _reseed()
            data = dumps(run())
            close_reporting()
            with open(result, "wb", closefd=False) as handle:
                handle.write(data)
            code = 0
        except BaseException:  # noqa: BLE001 - the exit code says that it went wrong, stderr why
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(code)
    try:
        while True:
            ended, status, usage = os.wait4(-1, 0)
            if ended == pid:
                break
        kill_descendants(_STRAYS_PATIENCE_S)
        size = os.fstat(result).st_size
        if size and status == 0:
            return os.pread(result, size, 0)
        return evidence.of_death(status, usage)
    finally:
        os.close(result)


def _reseed() -> None:
    """Give each attempt different random numbers: forks would all repeat the same ones.

    Python reseeds its own generator; numpy's global one is reseeded here.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def ignore_term() -> None:
    """In the worker that is forked from: ignore TERM, which ends the forked attempt."""
    faulthandler.unregister(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
