"""Edits of the code while a sweep runs: said once, and counted by `on_code_change`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from argus_tasks.planning.present_code import PresentCode
from argus_tasks.provenance.comparison import CodeState
from argus_tasks.spec.sections import OnCodeChange
from argus_tasks.workers.attempts.stop_flag import CODE_CHANGED

_EVERY_S = 2.0

log = logging.getLogger("argus_tasks")


class CodeWatch:
    """Compares what the runs of a session have executed with the files, every two seconds.

    Args:
        present: the code of the session.
        policy: its `on_code_change`.
        stop: called with a rule and what it has seen.
        keeps: whether a running worker keeps the code that it has loaded.
    """

    def __init__(
        self,
        present: PresentCode,
        policy: OnCodeChange,
        stop: Callable[[str, str], object],
        *,
        keeps: bool,
    ) -> None:
        self._present = present
        self._policy = policy
        self._stop = stop
        self._keeps = keeps
        self._lock = threading.Lock()
        self._manifests: dict[str, None] = {}
        self._first = True
        self._said: set[str] = set()
        self._looked = time.monotonic()
        self._stamped: object = None

    def executed(self, manifest: str | None) -> None:
        """A run has ended that executed this."""
        if manifest is None:
            return
        with self._lock:
            first, self._first = self._first, False
            self._manifests[manifest] = None
        if first:
            for name in self._present.copies(manifest):
                log.warning(
                    "%s is installed as a copy of this project: edits count when it is installed"
                    " again (pip install -e makes them count at once)",
                    name,
                )

    def look(self) -> None:
        """Compare, where it is time."""
        if time.monotonic() - self._looked >= _EVERY_S:
            self.compare()

    def compare(self) -> None:
        """Compare what was executed lately with the files that there are now."""
        self._looked = time.monotonic()
        with self._lock:
            manifests = list(self._manifests)
            self._manifests.clear()
            if manifests:
                self._manifests[manifests[-1]] = None  # until other code is executed
        if not manifests:
            return
        stamp = self._stamp(manifests)
        if stamp == self._stamped:
            return
        self._stamped = stamp
        comparer = self._present.comparer(self._present.written(manifests))
        changed: dict[str, None] = {}
        for name in manifests:
            found = comparer.compare(name)
            if found.state is CodeState.CHANGED:
                worst = (each for each in found.differences if each.state is CodeState.CHANGED)
                changed |= dict.fromkeys(str(each) for each in worst)
        new = [text for text in changed if text not in self._said]
        if not new:
            return
        self._said.update(new)
        named = ", ".join(new)
        log.warning(
            "the code was changed while the sweep runs: %s; %s",
            named,
            "its runs go on with what was loaded, and the next start finds them made by other code"
            if self._keeps
            else "runs that begin now have the new code",
        )
        if self._policy == "stop":
            self._stop(CODE_CHANGED, f"on_code_change is 'stop', and there changed {named}")

    def _stamp(self, manifests: list[str]) -> list[tuple[str, object]]:
        """What tells cheaply that no file of these manifests was written to since."""
        found: list[tuple[str, object]] = []
        for name in manifests:
            for path in self._present.paths(name):
                try:
                    status = os.stat(path)  # noqa: PTH116 - hundreds of them
                except OSError:
                    found.append((path, None))
                else:
                    found.append((path, (status.st_ctime_ns, status.st_size, status.st_ino)))
        return found
