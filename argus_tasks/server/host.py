"""The embedded server's process: `python -m argus_tasks.server.host`, started by `server.embedded`.

Prefect is loaded by its web server's own name for it; nothing of ours imports it here. Whatever
kills this process ends the server, its watcher and its locks at once.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from argus_tasks.base import locks
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.processes import pid_namespace
from argus_tasks.prefect_compat.server_automations import watch_only_if_wanted
from argus_tasks.prefect_compat.server_recording import record_sooner
from argus_tasks.prefect_compat.server_rows import write_by_rows
from argus_tasks.server.configuration import prefect_version
from argus_tasks.server.database import Database
from argus_tasks.server.folder import Folder
from argus_tasks.server.request_filter import RequestFilter
from argus_tasks.server.watcher import IDLE_S, LIMIT_S, Watcher

if TYPE_CHECKING:
    import uvicorn

APPLICATION = "prefect.server.api.server:create_app"
PREDECESSOR_LIMIT_S = 30.0
SHUTDOWN_LIMIT_S = 4.0


def main() -> None:
    """Serve until the watcher ends the server."""
    args = _arguments()
    for descriptor in (args.socket_fd, args.alive_fd):
        os.set_inheritable(descriptor, False)
    folder = Folder(Path(args.folder))
    folder.alive(args.instance).write_text(f"{os.getpid()} {pid_namespace(os.getpid())}")
    database = Database(folder, prefect_version())
    _wait_for_predecessor(folder)
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url

    with ThreadPoolExecutor(1, "argus-tasks-database") as threads:
        preparing = threads.submit(database.prepare)
        config = _load_application()  # takes seconds, as a migration does: both at once
    for hook, active in (
        ("recording", record_sooner()),
        ("rows", write_by_rows()),
        ("automations", watch_only_if_wanted()),
    ):
        if not active:
            _say(f"the hook 'server: {hook}' stands back on Prefect {prefect_version()}")
    try:
        for sentence in preparing.result():
            _say(sentence)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no server without it
        _say(f"cannot make the database: {error}")
        os._exit(1)

    import uvicorn

    class DrainingServer(uvicorn.Server):
        """A server that a signal ends only once everything is recorded."""

        watcher: Watcher

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
            self.watcher.ask_to_stop()

    server = DrainingServer(config)

    def end() -> None:
        server.should_exit = True
        threading.Timer(SHUTDOWN_LIMIT_S, os._exit, args=(0,)).start()

    watcher = Watcher(
        folder, args.instance, database.path, end, idle_s=args.idle_s, limit_s=args.limit_s
    )

    server.watcher = watcher
    watcher.start()
    server.run(sockets=[socket.socket(fileno=args.socket_fd)])
    folder.alive(args.instance).unlink(missing_ok=True)
    os._exit(0)  # everything is recorded; Prefect's threads need no time to end


def _load_application() -> uvicorn.Config:
    import uvicorn

    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    gc.disable()  # an import leaves nothing to collect, and the search takes a fifth of its time
    config.load()
    config.loaded_app = RequestFilter(config.loaded_app)
    gc.freeze()
    gc.enable()
    return config


def _wait_for_predecessor(folder: Folder) -> None:
    """Wait until the previous server has closed the database: two at once would lose task runs."""
    deadline = time.monotonic() + PREDECESSOR_LIMIT_S
    while True:
        try:
            locks.take_flock(folder.database_lock)  # never closed: held until this process ends
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ArgusTasksError(
                    f"another server has had the database of {folder.home} open for "
                    f"{PREDECESSOR_LIMIT_S:.0f} s and does not end"
                ) from None
            time.sleep(0.05)
        else:
            return


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--alive-fd", type=int, required=True)
    parser.add_argument("--idle-s", type=float, default=IDLE_S)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    return parser.parse_args()


def _say(sentence: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), "argus-tasks:", sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main()
