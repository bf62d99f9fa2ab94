"""The state folder of the embedded server: one for each user and host."""

from __future__ import annotations

import os
import platform
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from argus_tasks.base import settings
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.files import read_end, read_json, write_json, write_text_whole
from argus_tasks.base.processes import pid_namespace
from argus_tasks.base.server_login import LOGIN_NAME

LOG_TAIL_LINES = 15
_LOG_TAIL_BYTES = 16_000


@dataclass(frozen=True)
class Record:
    """The record of the server that is running, or ran last."""

    instance: str
    port: int
    prefect_version: str
    has_login: bool = False
    """False for a server that was started by an earlier version of this package."""

    @property
    def api_url(self) -> str:
        """The value of PREFECT_API_URL to use it."""
        return f"http://127.0.0.1:{self.port}/api"


@dataclass(frozen=True)
class Folder:
    """The paths below the state folder. A home folder that several hosts share has one state folder
    for each host: a server listens on its own host only, and locks may work on that host only."""

    root: Path

    @classmethod
    def of_this_host(cls) -> Folder:
        """The folder of this user and host, created where it is missing, with access for this user
        only.

        Errors: ArgusTasksError where it is somebody else's.
        """
        host = re.sub(r"[^A-Za-z0-9._-]", "_", platform.node()) or "localhost"
        folder = cls(settings.state_home() / "prefect-server" / host)
        folder.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.root.stat()
        if found.st_uid != os.geteuid():
            raise ArgusTasksError(
                f"{folder.root} belongs to another user; set XDG_STATE_HOME to a folder of yours."
            )
        if found.st_mode & 0o077:
            folder.root.chmod(0o700)
        return folder

    @property
    def home(self) -> Path:
        """The server's PREFECT_HOME, with its databases."""
        return self.root / "home"

    @property
    def hold_lock(self) -> Path:
        """The file on which every process that uses the server holds a shared record lock."""
        return self.root / "hold.lock"

    @property
    def start_lock(self) -> Path:
        """The lock held while a process finds or starts the server, and while the server decides to
        end."""
        return self.root / "start.lock"

    @property
    def database_lock(self) -> Path:
        """The lock of the one server that may have the database open."""
        return self.root / "database.lock"

    @property
    def login_file(self) -> Path:
        """The file with the name and password that the server requires: `argus-tasks:PASSWORD`."""
        return self.root / "login"

    @property
    def log(self) -> Path:
        """The log of the last server that was started."""
        return self.root / "server.log"

    @property
    def earlier_log(self) -> Path:
        """The log of the server before it."""
        return self.root / "server.earlier.log"

    def alive(self, instance: str) -> Path:
        """The file with the server's pid, locked as long as its process lives."""
        return self.root / f"alive-{instance}.lock"

    def read(self) -> Record | None:
        """The record of the server to use; None where there is none (or none that can be read)."""
        try:
            data = read_json(self.root / "server.json")
            return Record(
                str(data["instance"]),
                int(data["port"]),
                str(data["prefect_version"]),
                bool(data.get("has_login")),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, record: Record) -> None:
        """Make this the server to use. The start lock must be held."""
        write_json(self.root / "server.json", asdict(record))

    def withdraw(self, instance: str, *, unused: bool) -> None:
        """Let no new process use this server, where it is still the one to use. The start lock must
        be held. Its port is remembered: the next server takes it where it can, so that processes
        that still have the old URL find the new server there. Its login is theirs as well; where
        the server is unused, it ends here."""
        record = self.read()
        if record is not None and record.instance == instance:
            (self.root / "last-port").write_text(str(record.port))
            (self.root / "server.json").unlink(missing_ok=True)
            if unused:
                self.login_file.unlink(missing_ok=True)

    def login(self) -> str:
        """The value of `PREFECT_API_AUTH_STRING`; empty where there is no login."""
        try:
            return self.login_file.read_text().strip()
        except OSError:
            return ""

    def make_login(self) -> None:
        """Write a new login for the server that is about to start. The start lock must be held."""
        text = f"{LOGIN_NAME}:{secrets.token_urlsafe(24)}\n"
        write_text_whole(self.login_file, text, mode=0o600)

    def last_port(self) -> int:
        """The port of the previous server; 0 where there was none."""
        record = self.read()
        if record is not None:
            return record.port
        try:
            return int((self.root / "last-port").read_text())
        except (OSError, ValueError):
            return 0

    def kept_instance(self) -> str:
        """The server that `argus-tasks server start` keeps running; empty where there is none."""
        try:
            return (self.root / "keep").read_text().strip()
        except OSError:
            return ""

    def keep(self, instance: str) -> None:
        """Keep this server running although no process uses it."""
        (self.root / "keep").write_text(instance)

    def keep_no_more(self) -> None:
        """Let the server end when no process uses it."""
        (self.root / "keep").unlink(missing_ok=True)

    def pid_of(self, instance: str) -> int | None:
        """The pid of a server's process; None before the process has written it, and where the
        server runs in another container, in which pids have another meaning."""
        try:
            pid, _, namespace = self.alive(instance).read_text().partition(" ")
            return int(pid) if namespace in ("", str(pid_namespace(os.getpid()))) else None
        except (OSError, ValueError):
            return None

    def log_tail(self) -> str:
        """The last lines of the log, indented, for error messages."""
        try:
            lines = read_end(self.log, _LOG_TAIL_BYTES).splitlines()
        except OSError:
            return "  (it cannot be read)"
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:]) or "  (it is empty)"
