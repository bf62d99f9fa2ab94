"""The exit codes of every command."""

from __future__ import annotations

import signal

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def exit_code_after(number: int | None) -> int:
    """The exit code of a stopped sweep: 128 plus the signal's number, as in shells; without a
    signal, that of Ctrl-C."""
    return 128 + (signal.SIGINT if number is None else number)
