"""The identity of a process, by which another process can find out later whether it is alive."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from argus_tasks.base.boot import boot_id

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
# The fields of /proc/PID/stat after the name, which may hold spaces and brackets.
_STARTED_FIELD = 19
ENDED_STATES = (b"Z", b"X")


def this_process() -> dict[str, Any]:
    """The identity of this process, as JSON: host, boot, pid namespace, pid and start time."""
    return {
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "pid_namespace": pid_namespace(os.getpid()),
        "pid": os.getpid(),
        "pid_started": _own_start(os.getpid()),
    }


def shares_pid_space(process: Mapping[str, Any]) -> bool:
    """Whether a pid means the same process to both: they share the host and the pid namespace.

    Two containers can have the same host name and different pids. An identity without a namespace
    is an older one, and counts as of this namespace.
    """
    namespace = process.get("pid_namespace")
    return process.get("host") == socket.gethostname() and (
        namespace is None or namespace == pid_namespace(os.getpid())
    )


def is_dead(process: Mapping[str, Any]) -> bool:
    """Whether a process is dead. False where that is not known: on other hosts and containers.

    Args:
        process: its identity, from `this_process`.
    """
    if not shares_pid_space(process):
        return False
    if process.get("boot_id") != boot_id():
        return True
    pid = process.get("pid")
    if not isinstance(pid, int):
        return True
    started = started_at(pid)
    return started is None or started != process.get("pid_started")


def python_calling(module: str, *values: int | str) -> list[str]:
    """The command of a process of this Python that calls a module's `main` with the values.

    `-P` keeps the working folder off `sys.path`; the package need not be installed.
    """
    values_text = ", ".join(map(repr, values))
    code = f"import sys; sys.path.append({_PACKAGE_ROOT!r}); from {module} import main;"
    return [sys.executable, "-P", "-c", f"{code} main({values_text})"]


def user_at_host() -> str:
    """The user and the host of this process: `ada@box`."""
    return f"{user_name() or os.getuid()}@{socket.gethostname()}"


def user_name() -> str | None:
    """The name of the user of this process; None where the system has none for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None


def started_at(pid: int) -> str | None:
    """The start time of a process, in the system's format; None where there is no such process."""
    if boot_id() is not None:
        fields = stat_of(pid)
        if fields is None or fields[0] in ENDED_STATES:  # a zombie counts as dead
            return None
        return fields[_STARTED_FIELD].decode("ascii")
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def stat_of(pid: int) -> list[bytes] | None:
    """The fields of `/proc/PID/stat` from the state on; None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:  # noqa: PTH123
            return handle.read().rpartition(b")")[2].split() or None
    except OSError:
        return None


def all_pids() -> list[int]:
    """The pids of all processes that are visible in this pid namespace. Linux only."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


@lru_cache(maxsize=1)
def pid_namespace(pid: int) -> str | None:  # noqa: ARG001 - a fork's may be another
    """The pid namespace of this process, whose pid is `pid`; None where the system has none."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return None


@lru_cache(maxsize=1)
def _own_start(pid: int) -> str | None:
    return started_at(pid)
