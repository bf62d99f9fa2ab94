"""`run.log`: the logger's lines of a run, and what the run prints."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_FORMAT = logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s")


class RunLog(logging.Handler):
    """One open file a run; each record is one write, so lines of many threads stay whole."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.setFormatter(_FORMAT)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self.descriptor = os.open(path, flags, 0o644)

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record."""
        try:
            os.write(self.descriptor, (self.format(record) + "\n").encode("utf-8", "replace"))
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        super().close()


def run_logger(run_id: str, log: RunLog) -> logging.Logger:
    """A run's own logger: not kept by `logging` after the run, and heard by nobody else."""
    logger = logging.Logger(f"argus_tasks.run.{run_id}", logging.INFO)
    logger.addHandler(log)
    return logger


@contextmanager
def captured_descriptors(log: RunLog) -> Iterator[None]:
    """Send descriptors 1 and 2 of this process, whoever writes to them, to the run's log.

    For a worker process, which runs one experiment at a time.
    """
    saved = [(number, os.dup(number)) for number in (1, 2)]
    _flush()
    for number, _ in saved:
        os.dup2(log.descriptor, number)
    try:
        yield
    finally:
        _flush()
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def copied_streams(log: RunLog) -> Iterator[None]:
    """Copy what Python code prints to the run's log and let it through to the screen.

    For the caller's own process, where descriptors are not ours to take.
    """
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Copy(out, log), _Copy(err, log)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class _Copy(io.TextIOBase):
    def __init__(self, screen: TextIO, log: RunLog) -> None:
        self._screen = screen
        self._log = log

    def write(self, text: str, /) -> int:
        os.write(self._log.descriptor, text.encode("utf-8", "replace"))
        return self._screen.write(text)

    def flush(self) -> None:
        self._screen.flush()

    def isatty(self) -> bool:
        return self._screen.isatty()

    def fileno(self) -> int:
        return self._screen.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._screen.encoding


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
