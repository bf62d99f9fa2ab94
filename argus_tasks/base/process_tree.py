"""Find, signal and adopt the descendants of this process.

On Linux a process can be the subreaper of its descendants: it becomes the parent of each one whose
own parent ends, even if that one has changed its session, process group, environment or name. So
no process that a worker has started can leave the tree. On other systems only process groups are
known, and a process that has called setsid is not found.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress

from argus_tasks.base.files import read_whole
from argus_tasks.base.processes import ENDED_STATES, all_pids, stat_of

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_LOOK_AGAIN_S = 0.002


def inherit_orphans() -> None:
    """Become the parent of each descendant whose own parent ends."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, where the kernel can do that."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children_of_all() -> dict[int, list[int]]:
    """The children of every process of this machine, by parent; empty where unknown."""
    children: dict[int, list[int]] = {}
    if not _LINUX:
        return children
    for pid in all_pids():
        fields = stat_of(pid)
        if fields is not None and fields[0] not in ENDED_STATES:
            children.setdefault(int(fields[1]), []).append(pid)
    return children


def descendants(pid: int, children: dict[int, list[int]] | None = None) -> list[int]:
    """All living descendants of a process."""
    known = children_of_all() if children is None else children
    found: list[int] = []
    ahead = [pid]
    while ahead:
        below = known.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def signal_tree(pid: int, sign: signal.Signals) -> None:
    """Signal a process that leads a session, and all of its descendants."""
    below = descendants(pid)
    with suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(pid, sign)
        except ProcessLookupError:  # forked a moment ago, and no leader yet
            os.kill(pid, sign)
    for each in below:
        # Its group has got the signal already, and a second SIGTERM would mean something else.
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(each) != pid:
                os.kill(each, sign)


def kill_strays(kept: Collection[int] = ()) -> None:
    """Kill the children of this process that are not `kept`, and all descendants of those."""
    children = children_of_all()
    for child in children.get(os.getpid(), []):
        if child not in kept:
            for each in (child, *descendants(child, children)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each, signal.SIGKILL)


def kill_descendants(patience_s: float) -> None:
    """Kill and wait for all descendants, for at most `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        kill_strays()
        time.sleep(_LOOK_AGAIN_S)


def kill_marked(variable: str, value: str) -> None:
    """Kill every process with `variable=value` in its environment: those of a dead keeper."""
    if not _LINUX:
        return
    mark = f"{variable}={value}".encode()
    for pid in all_pids():
        with suppress(OSError):
            if pid != os.getpid() and mark in read_whole(f"/proc/{pid}/environ").split(b"\0"):
                os.kill(pid, signal.SIGKILL)
