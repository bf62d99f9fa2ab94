"""`prefect server start` as it comes: a user's own server, to be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any


class StockServer:
    """A server with a home folder and a port of its own, the same at every start."""

    def __init__(self, home: Path, environment: Mapping[str, str], template: Path) -> None:
        self._home = home
        self._environment = {**environment, "PREFECT_HOME": str(home)}
        home.mkdir()
        if template.exists():  # a migrated, empty database saves the first start ten seconds
            shutil.copyfile(template, home / "prefect.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/api"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--port", str(self._port)],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=2).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self._home / "log").read_text()
                time.sleep(0.2)

    def kill(self, sign: int = signal.SIGKILL) -> None:
        """End it, and whatever it has started."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, sign)
            process.wait(timeout=60)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read from its database file."""
        with closing(sqlite3.connect(self._home / "prefect.db", timeout=20)) as database:
            return database.execute(query).fetchall()
