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
from types import TracebackType

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.server_login import API_URL, AUTH_STRING, EMBEDDED_URL
from argus_tasks.server import configuration
from argus_tasks.server import server_locks as locks
from argus_tasks.server.database import Database
from argus_tasks.server.folder import Folder, Record
from argus_tasks.server.watcher import IDLE_S, LIMIT_S

Notice = Callable[[str], None]

PORT_LIMIT_S = 0.5
ROOM_BYTES = 8_000_000
"""An empty database and its log need so much; with less the server dies as it starts."""
ASK_AGAIN_S = 5.0


class HeldServer:
    """The embedded server, kept up until `release()` or the end of this process."""

    def __init__(self, folder: Folder, record: Record, idle_s: float, limit_s: float) -> None:
        self._folder = folder
        self._record = record
        self._login = login(folder, record)
        self._ending = (idle_s, limit_s)
        self._released = False

    @property
    def api_url(self) -> str:
        """What PREFECT_API_URL must be before Prefect is imported."""
        return self._record.api_url

    @property
    def ui_url(self) -> str:
        """Prefect's UI, for a browser on this host."""
        return self.api_url.removesuffix("/api")

    @property
    def log_path(self) -> str:
        """The server's log."""
        return str(self._folder.log)

    @property
    def database_path(self) -> str:
        """The server's database file."""
        return str(Database(self._folder, self._record.prefect_version).path)

    @property
    def pid(self) -> int | None:
        """The server's process; None in the moment before it has told."""
        return self._folder.pid_of(self._record.instance)

    @property
    def login(self) -> str:
        """What PREFECT_API_AUTH_STRING must be; empty where the server asks for none."""
        return self._login

    def environment(self) -> dict[str, str]:
        """What os.environ must hold in a process that uses the server: where it is, and the login.
        For processes that run experiments, `address()` is enough."""
        return {**self.address(), AUTH_STRING: self._login}

    def address(self) -> dict[str, str]:
        """PREFECT_API_URL, the mark that it is ours and not the user's, and, where there is a
        proxy, an exception from it."""
        return address(self._record)

    def export_line(self) -> str:
        """What a shell must run before `prefect` commands. It has the login's place, not the login,
        so that it may be printed and logged."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.address().items()]
        words.append(f'{AUTH_STRING}="$(cat {shlex.quote(str(self._folder.login_file))})"')
        return f"export {' '.join(words)}"

    def is_alive(self) -> bool:
        """Whether the server's process lives (it may still be starting)."""
        return locks.is_locked(self._folder.alive(self._record.instance))

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
                raise ArgusTasksError(self._told("has ended before it answered"))
            time.sleep(min(0.1, remaining_s))
        raise ArgusTasksError(self._told(f"has not answered within {timeout_s:.0f} s"))

    def revive(self, notice: Notice | None = None) -> bool:
        """Start the server again where it has died, if possible at its old address.

        True where `api_url` is still the same afterwards.
        """
        before = self.api_url
        self._record = _find_or_start(self._folder, notice, *self._ending)
        self._login = login(self._folder, self._record)
        return self.api_url == before

    def keep(self) -> None:
        """Keep it up after the last release too, until `stop()`."""
        self._folder.keep(self._record.instance)

    def release(self) -> None:
        """Use it no longer. A second call does nothing."""
        if not self._released:
            self._released = True
            locks.drop_hold(self._folder.hold_lock)

    def __enter__(self) -> HeldServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _told(self, what: str) -> str:
        return (
            f"Prefect's server ({self.api_url}) {what}; its log is {self.log_path}, "
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
    """The server that is up (or starting) and may be used; None where there is none."""
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
    """What the server asks for; empty where it asks for nothing."""
    return folder.login() if record.has_login else ""


def _find_or_start(folder: Folder, notice: Notice | None, idle_s: float, limit_s: float) -> Record:
    tell = notice or _silent
    with locks.exclusive(folder.start_lock):
        record = running(folder)
        if record is not None and not record.has_login and _retire(folder, record):
            record = None
        if record is not None:
            if not record.has_login:
                tell(
                    "Prefect's server that runs already is from an earlier version and asks nobody"
                    " for a password; it is replaced once no sweep uses it"
                )
            tell(f"using Prefect's server that runs already, {_ui(record)}")
            return record
        return _start(folder, tell, idle_s, limit_s)


def _retire(folder: Folder, record: Record) -> bool:
    """End a server without a login, unless somebody else uses it; True where it ends."""
    if any(pid != os.getpid() for pid in locks.holders(folder.hold_lock)):
        return False
    pid = folder.pid_of(record.instance)
    folder.withdraw(record.instance, unused=True)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)  # the next one waits until it has written down everything
    return True


def _start(folder: Folder, tell: Notice, idle_s: float, limit_s: float) -> Record:
    version = configuration.prefect_version()
    database = Database(folder, version)
    if shutil.disk_usage(folder.root).free < ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.root))
    last_port = folder.last_port()
    listening = _listening_socket(last_port)
    port = listening.getsockname()[1]
    if port != last_port or not folder.login():
        folder.make_login()  # else sweeps are left that have the last one
    record = Record(uuid.uuid4().hex[:12], port, version, has_login=True)
    first = (
        ""
        if database.is_ready() or database.has_template()
        else (" (first time with this version: makes its database, some 10 s)")
    )
    tell(f"starting Prefect's server{first}, {_ui(record)}")
    _remove_dead(folder)
    alive = locks.lock_file(folder.alive(record.instance))
    try:
        folder.write(record)  # before the process: whoever is killed in between leaves a dead lock
        if folder.log.exists():
            folder.log.replace(folder.earlier_log)
        command = configuration.python_command("-m", "argus_tasks.server.host")
        command += ["--folder", str(folder.root), "--instance", record.instance]
        command += ["--socket-fd", str(listening.fileno()), "--alive-fd", str(alive)]
        command += ["--idle-s", str(idle_s), "--limit-s", str(limit_s)]
        with folder.log.open("ab") as log:
            # by way of a shell that ends at once: the server is nobody's child, so it costs its
            # starter no wait() and does not count among the processes of a sweep
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
    """On this port, if it is or soon becomes free (a killed process leaves it a moment later than
    its locks), else on any."""
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
    if not locks.is_locked(folder.alive(record.instance)):
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
        if not locks.is_locked(path):
            path.unlink(missing_ok=True)


def _silent(_sentence: str) -> None:
    pass
