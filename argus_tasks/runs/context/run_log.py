"""`run.log`: the lines of a run's logger, and what the run prints."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from argus_tasks.base.files import open_to_append
from argus_tasks.base.redact import redact, secrets_of

_NAMES = ("stdin", "stdout", "stderr")
_FORMAT = logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s")


class RunLog(logging.Handler):
    """The open file of one run; each record is one write call, so lines of several threads never
    mix.

    Records are written without secrets, those of the run's config included. What the run prints is
    written through the file descriptor, unchanged.
    """

    def __init__(self, path: str, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._config = config
        self.setFormatter(_FORMAT)
        self.descriptor = open_to_append(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record; on a full disk it is lost, and the run goes on."""
        text = redact(self.format(record), secrets_of(self._config))
        with suppress(OSError):
            os.write(self.descriptor, (text + "\n").encode("utf-8", "replace"))

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        super().close()


def run_logger(run_id: str, log: RunLog) -> logging.Logger:
    """A run's own logger: `logging` does not keep it after the run, and no other handler gets its
    lines."""
    logger = logging.Logger(f"argus_tasks.run.{run_id}", logging.INFO)
    logger.addHandler(log)
    return logger


class StandardStreams:
    """Restores descriptors 0, 1, 2 and the working folder of a worker process after each
    experiment, whatever it has closed, replaced or removed."""

    def __init__(self) -> None:
        self._home = [_copy_of(number) for number in range(3)]
        self._folder = _open_folder()
        self._streams: dict[str, TextIO | None] = {name: getattr(sys, name) for name in _NAMES}
        self._restore()

    @contextmanager
    def captured(self, log: RunLog) -> Iterator[None]:
        """Redirect descriptors 1 and 2 to the run's log."""
        _flush()
        for number in (1, 2):
            os.dup2(log.descriptor, number)
        try:
            yield
        finally:
            _flush()
            self._restore()

    def _restore(self) -> None:
        with suppress(OSError):  # an experiment has closed descriptors that are not its own
            for number, copy in enumerate(self._home):
                os.dup2(copy, number)
            os.fchdir(self._folder)
        for number, name in enumerate(_NAMES):
            stream = self._streams[name]
            if stream is None or stream.closed:
                reads = number == 0
                stream = open(number, "r" if reads else "w", closefd=False)  # noqa: SIM115
                self._streams[name] = stream
            if number and isinstance(stream, io.TextIOWrapper) and not stream.line_buffering:
                # What is printed before a crash must be in the log.
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
            setattr(sys, name, stream)


def _copy_of(number: int) -> int:
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _open_folder() -> int:
    try:
        return os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return os.open("/", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def copied_streams(log: RunLog) -> Iterator[None]:
    """Write what Python code prints to the run's log as well as to the screen.

    For the caller's own process, whose descriptors must not be redirected.
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
        with suppress(OSError, ValueError):
            stream.flush()
