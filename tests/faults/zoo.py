"""Experiments that do what experiments do to a sweep; importable by worker processes."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from argus_tasks import RunContext

# On the command line of every grandchild: `env -i` takes the mark out of the environment.
NAP = os.environ.get("ARGUS_ZOO_NAP", "98765.4321")


class Unsendable(Exception):
    """Cannot be pickled, and cannot be rebuilt where it could."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__("cannot travel")
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickling here")


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text here")


class OddText(str):
    """A text of a class that the parent process does not know."""


class OddTextError(Exception):
    def __str__(self) -> str:
        return OddText("a text of a strange class, with \udcff in it")


class OfItsOwn(BaseException):
    """Neither an Exception nor anything that is asked for."""


def segfault(ctx: RunContext) -> None:
    ctypes.string_at(0)


def abort(ctx: RunContext) -> None:
    os.abort()


def kill(ctx: RunContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_0(ctx: RunContext) -> None:
    os._exit(0)


def exit_9(ctx: RunContext) -> None:
    os._exit(9)


def sys_exit(ctx: RunContext) -> None:
    sys.exit(0)


def interrupt(ctx: RunContext) -> None:
    raise KeyboardInterrupt


def base_exception(ctx: RunContext) -> None:
    raise OfItsOwn("nobody catches this")


def unpicklable_result(ctx: RunContext) -> dict[str, Any]:
    return {"lock": threading.Lock(), "function": lambda: None, "loss": 0.5}


def unpicklable_exception(ctx: RunContext) -> None:
    raise Unsendable(1, 2)


def unshowable_exception(ctx: RunContext) -> None:
    raise Unshowable


def odd_text(ctx: RunContext) -> None:
    raise OddTextError


def long_message(ctx: RunContext) -> None:
    raise ValueError("x" * 50_000_000)


def recursion(ctx: RunContext) -> None:
    recursion(ctx)


def rlimit(ctx: RunContext) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
    bytearray(2 << 30)


def memory(ctx: RunContext) -> None:
    """2 GB, touched."""
    held = [bytearray(os.urandom(1 << 20)) * 16 for _ in range(128)]
    raise AssertionError(f"nobody minded {len(held)} blocks")


def busy(ctx: RunContext) -> None:
    while True:
        pass


def c_sleep(ctx: RunContext) -> None:
    """In C with the GIL held: no Python handler can run."""
    ctypes.PyDLL(None).sleep(600)


def c_regex(ctx: RunContext) -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def term_ignored(ctx: RunContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def grandchildren(ctx: RunContext) -> None:
    """Four, each with another way out of a process tree."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    nap = ["sleep", NAP]
    subprocess.Popen(nap, **quiet)  # type: ignore[call-overload]
    subprocess.Popen(nap, start_new_session=True, **quiet)  # type: ignore[call-overload]
    subprocess.Popen(["env", "-i", "setsid", *nap], **quiet)  # type: ignore[call-overload]
    if os.fork() == 0:  # as a daemon does it: its parent is gone, nobody knows it
        os.setsid()
        if os.fork() == 0:
            os.execvpe("sleep", nap, {})
        os._exit(0)
    os.wait()
    if os.fork() == 0:  # and one that holds all descriptors of the worker
        time.sleep(float(NAP))
        os._exit(0)


def grandchildren_then_segfault(ctx: RunContext) -> None:
    grandchildren(ctx)
    segfault(ctx)


def grandchildren_then_nothing(ctx: RunContext) -> None:
    grandchildren(ctx)
    time.sleep(600)


def fork_that_returns(ctx: RunContext) -> dict[str, Any]:
    """The child comes back from the experiment, too."""
    child = os.fork() == 0
    if child:
        raise ValueError("the child's, of no interest")
    os.wait()
    return {"child": int(child)}


def flood(ctx: RunContext) -> None:
    """100 MB on stdout."""
    block = "x" * 99 + "\n"
    for _ in range(1000):
        sys.stdout.write(block * 1000)


def large_result(ctx: RunContext) -> dict[str, Any]:
    """100 MB."""
    return {"text": "x" * 100_000_000, "loss": 0.5}


def endless_thread(ctx: RunContext) -> None:
    threading.Thread(target=threading.Event().wait).start()


def closed_stdin(ctx: RunContext) -> None:
    sys.stdin.close()
    os.close(0)


def closed_stdout(ctx: RunContext) -> None:
    print("said before")
    os.close(1)
    os.close(2)


def closed_streams(ctx: RunContext) -> None:
    sys.stdout.close()
    sys.stderr.close()


def closed_everything(ctx: RunContext) -> None:
    """As who makes a daemon does it."""
    os.closerange(3, 1024)


def removed_folder(ctx: RunContext) -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    Path(folder).rmdir()


def fine(ctx: RunContext) -> dict[str, Any]:
    """What runs after all of these: finds a world in order."""
    print("fine, printed")
    os.system("echo fine, echoed")
    assert sys.stdin.read() == ""
    return {"folder": str(Path.cwd()), "x": ctx.config["x"]}


def act(ctx: RunContext) -> dict[str, Any] | None:
    """Does what the config names."""
    fault: Callable[[RunContext], dict[str, Any] | None] = globals()[ctx.config["fault"]]
    return fault(ctx)
