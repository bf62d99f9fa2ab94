"""`usage.jsonl` of a batch: how busy this machine was while its runs ran."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import append_line, dumps
from argus_tasks.runs.record.layout import USAGE_JSONL

INTERVAL_S = 1.0
SLOWER_AFTER = 1000
"""After so many lines the interval doubles: a week's sweep leaves some hundred KB."""


class UsageLog:
    """A context: while it is open, a line each interval with the CPU and memory in use, in percent
    of the whole machine. A disk that is full, or a machine that does not tell, costs lines only."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / USAGE_JSONL
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._log, name="argus-usage", daemon=True)

    def __enter__(self) -> UsageLog:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def _log(self) -> None:
        interval_s, written = INTERVAL_S, 0
        try:
            psutil.cpu_percent()  # the first answer is since nothing
        except Exception:  # noqa: BLE001 - a kernel that does not tell
            return
        while not self._ended.wait(interval_s):
            try:
                line = {
                    "at": utc_now_iso(),
                    "cpu_percent": psutil.cpu_percent(),
                    "memory_percent": psutil.virtual_memory().percent,
                }
                append_line(self._path, dumps(line))
            except Exception:  # noqa: BLE001 - it only watches
                continue
            written += 1
            if written % SLOWER_AFTER == 0:
                interval_s *= 2
