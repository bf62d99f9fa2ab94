"""The exit codes of every command."""

from __future__ import annotations

import signal

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def exit_code_after(number: int | None) -> int:
    """That of a sweep that was stopped: 128 and the signal's number, as shells have it; as after a
    Ctrl-C where there was no signal."""
    return 128 + (signal.SIGINT if number is None else number)
