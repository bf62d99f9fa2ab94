"""The embedded Prefect server: one for each user and host, found or started, held by its users.

`hold()` returns at once. A server that it starts gets a socket that listens already, so the first
request of a client waits until the server answers; nobody needs to poll. The server's own watcher
(`server.watcher`) ends it when no process has held it for 10 s and all it was sent is recorded.
"""

from __future__ import annotations

import errno
import http.client
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable

from argus_tasks.base import locks
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.server_login import API_URL, AUTH_STRING, EMBEDDED_URL
from argus_tasks.server import configuration
from argus_tasks.server.database import Database
from argus_tasks.server.folder import Folder, Record
from argus_tasks.server.watcher import IDLE_S, LIMIT_S

Notice = Callable[[str], None]

PORT_LIMIT_S = 0.5
ROOM_BYTES = 8_000_000
"""Free disk space that an empty database and its log need; with less the server cannot start."""
ASK_AGAIN_S = 5.0


class HeldServer:
    """The embedded server, kept running until `release()` or the end of this process."""

    def __init__(self, folder: Folder, record: Record, idle_s: float, limit_s: float) -> None:
        self._folder = folder
        self._record = record
        self._login = login(folder, record)
        self._ending = (idle_s, limit_s)
        self._released = False

    @property
    def api_url(self) -> str:
        """The value of PREFECT_API_URL, to be set before Prefect is imported."""
        return self._record.api_url

    @property
    def pid(self) -> int | None:
        """The pid of the server's process; None until the process has written it."""
        return self._folder.pid_of(self._record.instance)

    @property
    def login(self) -> str:
        """The value of PREFECT_API_AUTH_STRING; empty where the server requires no login."""
        return self._login

    def environment(self) -> dict[str, str]:
        """The environment variables of a process that uses the server: its address and login. A
        process that runs experiments needs only `address()`."""
        return {**self.address(), AUTH_STRING: self._login}

    def address(self) -> dict[str, str]:
        """PREFECT_API_URL, a mark that it is the embedded server's, and, where a proxy is set, an
        exception from it."""
        return address(self._record)

    def export_line(self) -> str:
        """The shell command to run before `prefect` commands. It names the login's file and not the
        login itself, so that it may be printed and logged."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.address().items()]
        words.append(f'{AUTH_STRING}="$(cat {shlex.quote(str(self._folder.login_file))})"')
        return f"export {' '.join(words)}"

    def is_alive(self) -> bool:
        """Whether the server's process is alive (it may still be starting)."""
        return locks.has_flock(self._folder.alive(self._record.instance))

    def wait_healthy(
        self, timeout_s: float = 60.0, *, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Return when the server answers, or soon after `stopping` has become true.

        Errors: ArgusTasksError, with the log's last lines, when it has died, or does not answer
        within the time.
        """
        deadline = time.monotonic() + timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0:
            if stopping() or _healthy(self._record.port, min(ASK_AGAIN_S, remaining_s)):
                return
            if not self.is_alive():
                raise ArgusTasksError(self._failure("has ended before it answered"))
            time.sleep(min(0.1, remaining_s))
        raise ArgusTasksError(self._failure(f"has not answered within {timeout_s:.0f} s"))

    def revive(self, notice: Notice | None = None) -> bool:
        """Start the server again where it has died, if possible at its old address.

        True where `api_url` is still the same afterwards.
        """
        before = self.api_url
        self._record = _find_or_start(self._folder, notice, *self._ending)
        self._login = login(self._folder, self._record)
        return self.api_url == before

    def keep(self) -> None:
        """Keep the server running after its last user too, until `stop()`."""
        self._folder.keep(self._record.instance)

    def release(self) -> None:
        """Stop using the server. A second call does nothing."""
        if not self._released:
            self._released = True
            locks.drop_hold(self._folder.hold_lock)

    def __enter__(self) -> HeldServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _failure(self, what: str) -> str:
        return (
            f"Prefect's server ({self.api_url}) {what}; its log is {self._folder.log}, "
            "which ends with\n" + self._folder.log_tail()
        )


def hold(
    *, notice: Notice | None = None, idle_s: float = IDLE_S, limit_s: float = LIMIT_S
) -> HeldServer:
    """Hold the embedded server for this process; start it where none runs. Returns at once.

    `notice` gets one sentence on what is being done, and the UI's address. `idle_s` and `limit_s`
    apply to a server that this call starts: how long it stays up when nobody holds it, once all
    is recorded, and in any case.
    """
    folder = Folder.of_this_host()
    locks.take_hold(folder.hold_lock)
    try:
        record = _find_or_start(folder, notice, idle_s, limit_s)
    except BaseException:
        locks.drop_hold(folder.hold_lock)
        raise
    return HeldServer(folder, record, idle_s, limit_s)


def running(folder: Folder) -> Record | None:
    """The server that is running or starting and may be used; None where there is none."""
    record = folder.read()
    return record if record and _usable(folder, record) else None


def address(record: Record) -> dict[str, str]:
    """`HeldServer.address()` for a server that need not be held."""
    added = {API_URL: record.api_url, EMBEDDED_URL: record.api_url}
    if any(name.lower() in {"http_proxy", "all_proxy"} for name in os.environ):
        for name in ("NO_PROXY", "no_proxy"):
            hosts = [host for host in os.environ.get(name, "").split(",") if host]
            added[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1"]))
    return added


def login(folder: Folder, record: Record) -> str:
    """The login that the server requires; empty where it requires none."""
    return folder.login() if record.has_login else ""


def _find_or_start(folder: Folder, notice: Notice | None, idle_s: float, limit_s: float) -> Record:
    notice = notice or (lambda _: None)
    with locks.exclusive(folder.start_lock):
        record = running(folder)
        if record is not None and not record.has_login and _retire(folder, record):
            record = None
        if record is not None:
            if not record.has_login:
                notice(
                    "the running Prefect server is from an earlier version and requires no"
                    " password; it is replaced once no sweep uses it"
                )
            notice(f"using the running Prefect server, {_ui(record)}")
            return record
        return _start(folder, notice, idle_s, limit_s)


def _retire(folder: Folder, record: Record) -> bool:
    """End a server without a login, unless a process uses it; returns whether it ends."""
    if any(pid != os.getpid() for pid in locks.holders(folder.hold_lock)):
        return False
    pid = folder.pid_of(record.instance)
    folder.withdraw(record.instance, unused=True)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)  # the next server waits until this one has recorded everything
    return True


def _start(folder: Folder, notice: Notice, idle_s: float, limit_s: float) -> Record:
    version = configuration.prefect_version()
    database = Database(folder, version)
    if shutil.disk_usage(folder.root).free < ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.root))
    last_port = folder.last_port()
    listening = _listening_socket(last_port)
    port = listening.getsockname()[1]
    if port != last_port or not folder.login():
        folder.make_login()  # otherwise sweeps are still using the last one
    record = Record(uuid.uuid4().hex[:12], port, version, has_login=True)
    first = (
        ""
        if database.is_ready() or database.has_template()
        else (" (first time with this version: makes its database, some 10 s)")
    )
    notice(f"starting Prefect's server{first}, {_ui(record)}")
    _remove_dead(folder)
    alive = locks.take_flock(folder.alive(record.instance))
    try:
        folder.write(
            record
        )  # before the process starts: a kill in between leaves a lock that is known to be dead
        if folder.log.exists():
            folder.log.replace(folder.earlier_log)
        command = configuration.python_command("-m", "argus_tasks.server.host")
        command += ["--folder", str(folder.root), "--instance", record.instance]
        command += ["--socket-fd", str(listening.fileno()), "--alive-fd", str(alive)]
        command += ["--idle-s", str(idle_s), "--limit-s", str(limit_s)]
        with folder.log.open("ab") as log:
            # started by a shell that ends at once: the server is then no child of this process,
            # which need not wait() for it, and it does not count among the processes of a sweep
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *command],
                env=configuration.server_environment(folder, record.port),
                cwd=folder.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(listening.fileno(), alive),
                check=True,
            )
    finally:
        os.close(alive)
        listening.close()
    return record


def _listening_socket(port: int) -> socket.socket:
    """A listening socket on this port, if it is free or soon will be (a killed process frees it a
    moment later than its locks), else on any port."""
    deadline = time.monotonic() + (PORT_LIMIT_S if port else 0.0)
    while True:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen(1024)
        except OSError:
            listening.close()
            if port == 0:
                raise
            if time.monotonic() > deadline:
                port = 0
            time.sleep(0.02)
        else:
            return listening


def _usable(folder: Folder, record: Record) -> bool:
    if not locks.has_flock(folder.alive(record.instance)):
        return False
    try:
        socket.create_connection(("127.0.0.1", record.port), timeout=5).close()
    except OSError:
        return False
    return True


def _healthy(port: int, timeout_s: float) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _ui(record: Record) -> str:
    return f"UI: {record.api_url.removesuffix('/api')} (login: argus-tasks server status)"


def _remove_dead(folder: Folder) -> None:
    for path in folder.root.glob("alive-*.lock"):
        if not locks.has_flock(path):
            path.unlink(missing_ok=True)
