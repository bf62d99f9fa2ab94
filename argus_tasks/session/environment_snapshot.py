"""What a sweep was started with: code, packages, Python, host. Gathered once, for all its runs.

Gathering takes a second of a processor's time, so a process of its own does it, beside the
warming up of the workers and politely; it lies in `.sweep/<batch_id>/env/<session>/`, and the
runs' `meta.json` say where.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json, write_text_whole
from argus_tasks.base.guard import guarded
from argus_tasks.reporting.environment import command_line
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.runs.record.hashes import hash_of

ENV_FOLDER = "env"
ENVIRONMENT_JSON = "environment.json"
DIFF_PATCH = "diff.patch"
UNTRACKED = "untracked"

_WAIT_S = 10.0
_START = (
    "import json, sys; given = json.load(sys.stdin); sys.path[:] = given['sys_path'];"
    " from argus_tasks.session.snapshot_process import main; main(given)"
)


class EnvironmentSnapshot:
    """Gathers and keeps what one session was started with. Never raises."""

    def __init__(self, results_root: Path) -> None:
        self._root = results_root
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._event: dict[str, Any] = {}
        self._ready = threading.Event()

    @property
    def gathers(self) -> bool:
        """Whether gathering has begun."""
        return self._process is not None

    @guarded(default=None)
    def begin(self) -> None:
        """Start to gather; a second call changes nothing."""
        if self._process is not None:
            return
        given = {
            "sys_path": sys.path,
            "folder": os.getcwd(),  # noqa: PTH109
            "leave_out": str(self._root),
            "command": command_line(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin is not None
        with self._process.stdin as way:
            way.write(json.dumps(given).encode())
        self._process.stdin = None  # else `communicate` would have more to say

    def reference(self, folder: SweepFolder, session_id: str) -> str | None:
        """Where it is kept, relative to the results root; None where nothing is gathered."""
        if self._process is None:
            return None
        return (folder.path / ENV_FOLDER / session_id).relative_to(self._root).as_posix()

    def keep(self, folder: SweepFolder, session_id: str) -> None:
        """Write it into the batch's folder once it is gathered; returns at once."""
        if self._process is None:
            return
        self._thread = threading.Thread(
            target=self._keep, args=(folder, session_id), name="argus-snapshot", daemon=True
        )
        self._thread.start()

    def event(self, timeout_s: float = _WAIT_S) -> dict[str, Any]:
        """The data of the monitor's `env_snapshot`; empty where it is not gathered in time."""
        self._ready.wait(timeout_s)
        return self._event

    def close(self, limit_s: float) -> None:
        """Wait so many seconds for the gathering to end, then give it up."""
        if self._process is None:
            return
        if self._thread is not None:
            self._thread.join(limit_s)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._ready.set()

    @guarded(default=None)
    def _keep(self, folder: SweepFolder, session_id: str) -> None:
        assert self._process is not None
        try:
            out, _ = self._process.communicate()
            found = json.loads(out) if out else {}
            self._event = found.get("event", {})
        finally:
            self._ready.set()
        if not found:
            return
        place = folder.path / ENV_FOLDER / session_id
        with suppress(OSError):
            files = _write(place, found)
            folder.note_session(
                session_id,
                environment={"folder": f"{ENV_FOLDER}/{session_id}", "files": files},
            )


def _write(place: Path, found: dict[str, Any]) -> dict[str, str]:
    """Write what was found; SHA-256 of each file by its path."""
    place.mkdir(parents=True, exist_ok=True)
    names = [ENVIRONMENT_JSON]
    write_json(place / ENVIRONMENT_JSON, found["environment"])
    if found["diff"]:
        write_text_whole(place / DIFF_PATCH, found["diff"])
        names.append(DIFF_PATCH)
    for name, text in found["untracked"].items():
        path = place / UNTRACKED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(path, text)
        names.append(f"{UNTRACKED}/{name}")
    return {name: hash_of(str(place / name))[0] for name in names}
