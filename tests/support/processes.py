"""Looking for processes that should be gone, over all of the machine."""

from __future__ import annotations

import signal
import time
from pathlib import Path


def processes_with(*marks: str) -> dict[int, str]:
    """Every process that has one of the marks in its environment or on its command line."""
    wanted = [mark.encode() for mark in marks]
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            text = command + b"\0" + (folder / "environ").read_bytes()
        except OSError:
            continue
        if any(mark in text for mark in wanted):
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def wait_gone(*marks: str, seconds: float) -> None:
    """Wait until none of them is left."""
    deadline = time.monotonic() + seconds
    while left := processes_with(*marks):
        assert time.monotonic() < deadline, f"still running after {seconds} s: {left}"
        time.sleep(0.05)


def heed_signals() -> None:
    """As `preexec_fn`: what a shell starts in its background ignores SIGINT, with all below it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
