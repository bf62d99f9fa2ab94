"""A background process that delivers the events of an outbox after the training has ended.

It runs for at most `ARGUS_LINGER_S` seconds (180 by default; 0 turns it off), and ends earlier when
everything is delivered or the server refuses the token. There is at most one for each outbox.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from argus_tasks.base.locks import ProcessLock, holder_lives
from argus_tasks.base.processes import python_calling
from argus_tasks.base.settings import seconds

DEFAULT_LINGER_S = 180.0
_LOCK = "afterwards.lock"
_started: list[subprocess.Popen[bytes]] = []


def linger_s() -> float:
    """How long the process may run, in seconds: `ARGUS_LINGER_S`, else 180; 0 turns it off."""
    return seconds("ARGUS_LINGER_S", DEFAULT_LINGER_S)


def start_background_sender(
    folder: Path, url: str, token: str | None, also: Sequence[Path] = ()
) -> bool:
    """Start the process for an outbox, unless it runs.

    Args:
        folder: the outbox.
        url: the server.
        token: the token for the server.
        also: more outboxes whose events are delivered to the server.

    Returns:
        False where the process is turned off or cannot be started.
    """
    if not linger_s() or not sys.executable:
        return False
    if holder_lives(os.fspath(folder / _LOCK)):
        return True
    _started[:] = [process for process in _started if process.poll() is None]
    others = [os.fspath(one) for one in also]
    order = {"folder": os.fspath(folder), "also": others, "limit_s": linger_s()}
    order |= {"url": url, "token": token}
    try:
        process = subprocess.Popen(
            [*python_calling(__name__), "argus-tasks: sends what waits in", os.fspath(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return False
    _started.append(process)
    # Not on the command line: other users can read those.
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode())
            process.stdin.close()
    return True


def main() -> None:
    """Run the process; what it has to do is read from standard input as JSON."""
    from argus_tasks.delivery.outbox_folder import Outbox
    from argus_tasks.delivery.sender import Sender
    from argus_tasks.delivery.transport import HttpTransport

    order = json.load(sys.stdin)
    lock = ProcessLock(os.fspath(Path(order["folder"]) / _LOCK))
    if not lock.take():
        return
    url, token = order["url"], order["token"]
    sender = Sender(Outbox(order["folder"]), lambda: HttpTransport(url, lambda: token))
    for folder in order["also"]:
        sender.also(Outbox(folder))
    sender.start()
    try:
        sender.drain_all(float(order["limit_s"]))
    finally:
        sender.stop(1.0)
        lock.give_back()
