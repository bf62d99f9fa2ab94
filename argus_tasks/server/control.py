"""The status of the embedded server, and stopping it, for `argus-tasks server`."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base import locks
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.server_login import AUTH_STRING
from argus_tasks.server import embedded
from argus_tasks.server.database import Database
from argus_tasks.server.folder import Folder
from argus_tasks.server.watcher import LIMIT_S


@dataclass(frozen=True)
class ServerStatus:
    """The embedded server's current state.

    Attributes:
        environment: what os.environ must hold in a process that uses it.
        login_file: where its login lies; None where it asks for none.
    """

    api_url: str
    environment: dict[str, str]
    login_file: Path | None
    pid: int | None
    kept: bool
    holders: list[int]
    database: Path
    log: Path


def status() -> ServerStatus | None:
    """The running server; None where none is running."""
    folder = Folder.of_this_host()
    record = embedded.running(folder)
    if record is None:
        return None
    return ServerStatus(
        api_url=record.api_url,
        environment={
            **embedded.address(record),
            AUTH_STRING: embedded.login(folder, record),
        },
        login_file=folder.login_file if record.has_login else None,
        pid=folder.pid_of(record.instance),
        kept=folder.kept_instance() == record.instance,
        holders=locks.holders(folder.hold_lock),
        database=Database(folder, record.prefect_version).path,
        log=folder.log,
    )


def stop(*, timeout_s: float = LIMIT_S + 10) -> str:
    """End the server once everything is recorded, unless a sweep uses it; it then ends after that.

    Returns what happened, as a sentence. Errors: ArgusTasksError where it does not end in time.
    """
    folder = Folder.of_this_host()
    record = embedded.running(folder)
    folder.keep_no_more()
    if record is None:
        return "no embedded server is running"
    with locks.exclusive(folder.start_lock):
        if locks.HoldProbe(folder.hold_lock).held():
            users = ", ".join(map(str, locks.holders(folder.hold_lock))) or "another process"
            return f"process {users} still uses it; it ends by itself after its last user"
        # a process that needs a server now starts another, which waits for this one
        folder.withdraw(record.instance, unused=True)
    alive = folder.alive(record.instance)
    deadline = time.monotonic() + timeout_s
    pid = None
    while locks.has_flock(alive):
        if pid is None and (pid := folder.pid_of(record.instance)) is not None:
            os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise ArgusTasksError(
                f"Prefect's server (process {pid}) has not ended within {timeout_s:.0f} s; "
                f"its log is {folder.log}"
            )
        time.sleep(0.1)
    return f"stopped Prefect's server (process {pid})"
