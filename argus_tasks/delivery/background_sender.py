"""The process that goes on sending after another has ended without having delivered all.

It lives for `ARGUS_LINGER_S` seconds at most (180; 0: there is none), and goes when nothing waits
any more, or when waiting is in vain. There is one for an outbox.
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

DEFAULT_LINGER_S = 180.0
_LOCK = "afterwards.lock"
_ROOT = Path(__file__).parents[2]
_CODE = (
    f"import sys; sys.path.append({os.fspath(_ROOT)!r});"
    " from argus_tasks.delivery.background_sender import main; main()"
)
_started: list[subprocess.Popen[bytes]] = []


def linger_s() -> float:
    """How long the process may live: `ARGUS_LINGER_S`, else 180 s; 0 where none is wanted."""
    try:
        value = float(os.environ.get("ARGUS_LINGER_S", "") or DEFAULT_LINGER_S)
    except ValueError:
        return DEFAULT_LINGER_S
    return value if 0 <= value < 1e6 else DEFAULT_LINGER_S


def start_background_sender(
    folder: Path, url: str, token: str | None, also: Sequence[Path] = ()
) -> bool:
    """Start the process for an outbox; False where none is wanted, or none can be started."""
    if not linger_s() or not sys.executable:
        return False
    if holder_lives(os.fspath(folder / _LOCK)):
        return True
    _started[:] = [process for process in _started if process.poll() is None]
    others = [os.fspath(one) for one in also]
    told = {"folder": os.fspath(folder), "also": others, "limit_s": linger_s()}
    told |= {"url": url, "token": token}
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, "argus-tasks: sends what waits in", os.fspath(folder)],
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
            process.stdin.write(json.dumps(told).encode())
            process.stdin.close()
    return True


def main() -> None:
    """The process."""
    from argus_tasks.delivery.outbox_folder import Outbox
    from argus_tasks.delivery.sender import Sender
    from argus_tasks.delivery.transport import HttpTransport

    told = json.load(sys.stdin)
    lock = ProcessLock(os.fspath(Path(told["folder"]) / _LOCK))
    if not lock.take():
        return
    url, token = told["url"], told["token"]
    sender = Sender(Outbox(told["folder"]), lambda: HttpTransport(url, lambda: token))
    for folder in told["also"]:
        sender.also(Outbox(folder))
    sender.start()
    try:
        sender.drain_all(float(told["limit_s"]))
    finally:
        sender.stop(1.0)
        lock.give_back()
