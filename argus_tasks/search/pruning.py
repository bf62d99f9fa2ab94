"""Reads what running trials report, and ends those that the pruner gives up."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

from argus_tasks.runs.context.trial_reports import ReportReader
from argus_tasks.runs.record.layout import PRUNE_FOLDER
from argus_tasks.search.study import Study

LOOK_S = 0.05
_LEAVE_S = 2.0

log = logging.getLogger("argus_tasks")


class Pruning:
    """The trials that run now, watched by a thread if the study has a pruner.

    Args:
        study: receives the reports, and decides.
        folder: the folder of the batch.
        prunes: whether the study has a pruner.
    """

    def __init__(self, study: Study, folder: Path, *, prunes: bool) -> None:
        self._study = study
        self._folder = folder / PRUNE_FOLDER
        self._prunes = prunes
        self._lock = threading.Lock()
        self._running: dict[int, tuple[str, ReportReader]] = {}
        self._pruned: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="argus-pruning", daemon=True)

    def open(self) -> None:
        """Start to watch. Raises OSError if the folder cannot be created."""
        if self._prunes:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._thread.start()

    def close(self) -> None:
        """Stop to watch."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE_S)

    def file(self, run_id: str) -> str | None:
        """The file whose existence ends the run; None if the study has no pruner."""
        return str(self._folder / run_id) if self._prunes else None

    def started(self, number: int, run_dir: str) -> None:
        """Start to watch an attempt of a trial."""
        run_id = os.path.basename(run_dir)  # noqa: PTH119
        with suppress(FileNotFoundError):
            (self._folder / run_id).unlink()
        with self._lock:
            self._pruned.discard(number)
            self._running[number] = (run_id, ReportReader(run_dir))

    def ended(self, number: int) -> None:
        """Stop to watch an attempt that has ended."""
        with self._lock:
            running = self._running.pop(number, None)
        if running is not None:
            with suppress(FileNotFoundError):
                (self._folder / running[0]).unlink()

    def _run(self) -> None:
        failed = False
        while not self._over.wait(LOOK_S):
            try:
                self._check_running()
            except Exception:
                if not failed:
                    log.warning("the pruner failed for a trial", exc_info=True)
                failed = True

    def _check_running(self) -> None:
        with self._lock:
            running = dict(self._running)
        for number, (run_id, reader) in running.items():
            news = reader.new_reports()
            for step, value in news:
                self._study.report(number, step, value)
                if number not in self._pruned and self._study.should_prune(number):
                    self._pruned.add(number)
                    (self._folder / run_id).touch()
