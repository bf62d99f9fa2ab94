"""A sweep's key plots on its monitor, as artifacts of the job that leads.

They are drawn when all has ended, while Prefect's server is settled with, in a process of its own
that shares the end's deadline. Where that is not enough, where matplotlib is not there, and for
sweeps that are stopped, or over before anybody looks, there are none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from argus_tasks.base.guard import guarded
from argus_tasks.session.observer import SessionObserver
from argus_tasks.session.sweep_session import SweepSession

LEAST_S = 10.0
"""A sweep that is over before this has no plots on its monitor."""
PLOTS = "plots"
_START = (
    "import json, sys; given = json.load(sys.stdin); sys.path[:] = given['sys_path'];"
    " from argus_tasks.results.report.key_plots import main; main(given)"
)


class KeyPlots:
    """Begun when all has ended; `finish` before the exit. Never raises."""

    def __init__(self, session: SweepSession, observer: SessionObserver) -> None:
        self._session = session
        self._observer = observer
        self._process: subprocess.Popen[str] | None = None

    @guarded(default=None)
    def begin(self) -> None:
        """Start to draw, where there is something, and somebody to show it to."""
        session = self._session
        summary = session.summary()
        if not self._observer.reports or session.stopping or summary.duration_sec < LEAST_S:
            return
        if summary.succeeded < 2 or not all(map(find_spec, ("matplotlib", "scipy"))):
            return
        folder = session.folder.path
        given = {
            "sys_path": sys.path,
            "root": str(session.request.results_root),
            "batch_id": session.plan.batch_id,
            "folder": str(folder / PLOTS),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdin is not None
        with self._process.stdin as way:
            json.dump(given, way)
        self._process.stdin = None  # else `communicate` would have more to say

    @guarded(default=None)
    def finish(self) -> None:
        """Send what has been drawn; a stop, and the end of the patience, are waited for no more."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            limit_s = 0.0 if self._session.stopping else self._session.stops.deadline.left_s()
            out, _ = process.communicate(timeout=max(limit_s, 0.01))
            found = json.loads(out) if out else {"files": [], "run_ids": []}
            self._observer.attach([Path(file) for file in found["files"]], found["run_ids"])
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.communicate()
