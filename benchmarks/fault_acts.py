"""What goes wrong in one of ten runs, for every contestant alike: plain functions."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WORK_S = 0.3
# What each is called on the page, in its order.
FAULTS = {
    "segfault": "segmentation fault",
    "kill": "SIGKILL (an OOM killer's)",
    "exit_0": "`os._exit(0)`",
    "sys_exit": "`sys.exit(0)`",
    "interrupt": "`raise KeyboardInterrupt`",
    "unpicklable_result": "a result that cannot be pickled",
    "unpicklable_exception": "an exception that cannot be pickled",
    "recursion": "endless recursion",
    "rlimit": "2 GB under an rlimit of 1 GB",
    "busy": "a busy loop",
    "term_ignored": "asleep, SIGTERM ignored",
    "grandchildren": "four grandchildren left behind",
    "flood": "100 MB on stdout",
    "endless_thread": "a thread that never ends",
    "closed_stdin": "stdin closed",
    "removed_folder": "working folder removed",
}


class Unsendable(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.lock = threading.Lock()


def segfault() -> None:
    ctypes.string_at(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_0() -> None:
    os._exit(0)


def sys_exit() -> None:
    sys.exit(0)


def interrupt() -> None:
    raise KeyboardInterrupt


def unpicklable_result() -> dict[str, Any]:
    return {"lock": threading.Lock()}


def unpicklable_exception() -> None:
    raise Unsendable


def recursion() -> None:
    recursion()


def rlimit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
    bytearray(2 << 30)


def busy() -> None:
    while True:
        pass


def term_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def grandchildren() -> None:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    for ways in ([], [], ["setsid"], ["env", "-i", "setsid"]):
        subprocess.Popen([*ways, "sleep", "600"], **quiet)  # type: ignore[call-overload]


def flood() -> None:
    block = "x" * 99 + "\n"
    for _ in range(1000):
        sys.stdout.write(block * 1000)


def endless_thread() -> None:
    threading.Thread(target=threading.Event().wait).start()


def closed_stdin() -> None:
    sys.stdin.close()


def removed_folder() -> None:
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    folder.rmdir()


def act(fault: str, index: int) -> dict[str, Any]:
    """A neighbour's work where there is no fault, else that."""
    if not fault:
        time.sleep(WORK_S)
        return {"index": index}
    action: Callable[[], dict[str, Any] | None] = globals()[fault]
    return action() or {"index": index}


def experiment(ctx: Any) -> dict[str, Any]:
    """The same for those that hand a context."""
    config: Mapping[str, Any] = ctx.config
    return act(config["fault"], config["index"])
