"""The Prefect servers of a benchmark: one of its own, with a new database, ended by its pid."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.server.embedded import hold
from benchmarks.harness import ROOT

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}


class ServerFailed(RuntimeError):
    """The server did not start; the message has its last lines."""


def clean_environment(home: Path) -> dict[str, str]:
    """This environment without anybody's Prefect and Argus settings, its state kept in `home`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "ARGUS_"))
    }
    folders = {
        "PREFECT_HOME": str(home / "prefect"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PYTHONPATH": str(ROOT),
    }
    return {**kept, **QUIET, **folders}


class PrefectServer:
    """A Prefect server with a home of its own: use it as a context. Its database is new.

    Attributes:
        settings: what it is set to beside Prefect's defaults, or in words.
        url: its API; set when it is up, as are `pid` and `start_s`, how long that took.
    """

    settings: Mapping[str, str] = QUIET

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = ""
        self.login = ""
        self.pid = 0
        self.start_s = 0.0

    def __enter__(self) -> Self:
        started = time.monotonic()
        self._start()
        self.start_s = time.monotonic() - started
        self._watched = psutil.Process(self.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def environment(self, *, ours: bool) -> dict[str, str]:
        """What leads a contestant to it; `ours`: a sweep of argus-tasks."""
        del ours
        return {"PREFECT_API_URL": self.url, "PREFECT_API_AUTH_STRING": self.login}

    def headers(self) -> dict[str, str]:
        """What a request with a body must have."""
        login = base64.b64encode(self.login.encode()).decode()
        return {"Content-Type": "application/json", "Authorization": f"Basic {login}"}

    def _start(self) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def cpu_s(self) -> float:
        """CPU seconds that the server has used so far."""
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def wait_until_quiet(self, timeout_s: float = 60) -> None:
        """Return when the server has nothing left to do, or after the limit."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            before = self.cpu_s()
            time.sleep(0.5)
            if self.cpu_s() - before < 0.1:
                return

    def flow_runs_since(self, moment: float) -> list[str]:
        """The ids of the flow runs that started after the moment (seconds since the epoch)."""
        after = datetime.fromtimestamp(moment, UTC).isoformat()
        found = self.post("/flow_runs/filter", {"flow_runs": {"start_time": {"after_": after}}})
        return [run["id"] for run in found]

    def recorded(self, flow_run_ids: Sequence[str]) -> int:
        """How many task runs of these flow runs the server knows to have ended."""
        if not flow_run_ids:
            return 0
        ended = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
        runs = {"flow_run_id": {"any_": list(flow_run_ids)}, "state": {"type": {"any_": ended}}}
        return int(self.post("/task_runs/count", {"task_runs": runs}))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that the server's API answers. Errors: OSError."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), self.headers())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


class StockServer(PrefectServer):
    """Prefect's own server on its default settings; its start takes some ten seconds."""

    def _start(self) -> None:
        self._log = (self.home / "server.log").open("wb")
        # The port is taken here and handed over: nobody can take it in between.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            words = ["-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
            self._process = subprocess.Popen(
                [sys.executable, *words, "--fd", str(listener.fileno()), "--log-level", "warning"],
                env=clean_environment(self.home),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[listener.fileno()],
                preexec_fn=_end_with_parent,
            )
        self.pid = self._process.pid
        try:
            self._wait_until_healthy(timeout_s=120)
        except BaseException:
            self._end()
            raise

    def _wait_until_healthy(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and self._process.poll() is None:
            try:
                # The socket listens already: this waits until the server answers.
                with urllib.request.urlopen(self.url + "/health", timeout=timeout_s):
                    return
            except OSError:
                time.sleep(0.2)
        log = (self.home / "server.log").read_text(errors="replace")
        raise ServerFailed(f"the Prefect server did not start:\n{log[-2000:]}")

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class EmbeddedServer(PrefectServer):
    """The server that argus-tasks brings along, held by this process: `ours` finds it by itself."""

    settings: Mapping[str, str] = {**QUIET, "embedded": "as argus_tasks.server sets it"}

    def environment(self, *, ours: bool) -> dict[str, str]:
        """`ours` gets the state folder that the server is in, as a user's sweeps do."""
        if ours:
            return {"XDG_STATE_HOME": str(self.home / "state")}
        return super().environment(ours=False)

    def _start(self) -> None:
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(clean_environment(self.home))
        try:
            self._held = hold()
            self._held.wait_healthy(120)
        except ArgusTasksError as error:
            raise ServerFailed(str(error)) from error
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.url, self.login = self._held.api_url, self._held.login
        assert self._held.pid is not None
        self.pid = self._held.pid

    def _end(self) -> None:
        self._held.release()
        self._watched.send_signal(signal.SIGTERM)
        gone, alive = psutil.wait_procs([self._watched], timeout=70)
        del gone
        for process in alive:
            process.kill()


def _end_with_parent() -> None:
    """In the child: ask Linux for SIGTERM when the thread that started us is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
