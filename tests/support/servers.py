"""Real Prefect servers on a state folder of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

HOLDER = """
import json, sys
from argus_tasks.server import embedded
server = embedded.hold(idle_s=float(sys.argv[1]), notice=lambda text: print(text, file=sys.stderr))
print(json.dumps({"url": server.api_url, "instance": server._record.instance}), flush=True)
server.wait_healthy(90)
print(json.dumps({"pid": server.pid}), flush=True)
sys.stdin.readline()
"""

MARK = "SERVER_TEST_MARK"
# How much longer than on a quiet machine something may take.
BUSY = 4.0


class Bench:
    """A state folder with the processes that belong to it, found by a mark in their environment."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "ARGUS_TASKS_"))
        } | {
            "XDG_STATE_HOME": str(root),
            "XDG_CACHE_HOME": str(cache),
            "HOME": str(root),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            MARK: self.mark,
        }
        self.root = root

    def python(self, code: str, *words: str, **extra: Any) -> subprocess.Popen[str]:
        """A process of its own with this state folder."""
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=extra.pop("stderr", None),
            text=True,
            **extra,
        )

    def holder(self, idle_s: float = 1) -> Holder:
        """A process that holds the server, and ends at a word."""
        return Holder(self.python(HOLDER, str(idle_s)))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`argus-tasks ...`"""
        return subprocess.run(
            [sys.executable, "-m", "argus_tasks", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def folder(self) -> Path:
        """The server's state folder."""
        (found,) = (self.root / "argus-tasks" / "prefect-server").iterdir()
        return found

    def database(self) -> Path:
        """The server's database."""
        (found,) = (self.folder() / "home").glob("prefect-*.db")
        return found

    def processes(self) -> dict[int, str]:
        """Every process of the machine that carries our mark."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                        command = (entry / "cmdline").read_bytes()
                        found[int(entry.name)] = command.replace(b"\0", b" ").decode()
                except OSError:
                    continue
        return found

    def servers(self) -> dict[int, str]:
        """Those of them that are servers."""
        return {pid: text for pid, text in self.processes().items() if "server.host" in text}

    def wait_until_gone(self, limit_s: float) -> float:
        """Wait until no process is left; how long it took."""
        begun = time.monotonic()
        while left := self.processes():
            took_s = time.monotonic() - begun
            assert took_s < BUSY * limit_s, f"still there after {took_s} s: {left}"
            time.sleep(0.1)
        return time.monotonic() - begun


class Holder:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def told(self) -> dict[str, Any]:
        """The next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the holder has ended"
        return dict(json.loads(line))

    def end(self) -> None:
        """Let it go."""
        self.process.communicate("go\n", timeout=90)

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=90)
