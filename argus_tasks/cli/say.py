"""What the commands print, and the files that they are asked to write."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import write_output
from argus_tasks.base.visible import visible


def say(text: str = "", *, end: str = "\n", error: bool = False) -> None:
    """Print a text, or with `error` write it to standard error; control characters are escaped.

    A closed pipe (`| head`) does not end a sweep.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(visible(text), end=end, file=stream, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_asked(target: Path | str, text: str) -> None:
    """Write a file that an option asks for. Errors: BadInput where it cannot be written."""
    try:
        write_output(target, text)
    except OSError as error:
        raise BadInput(f"{str(target)!r} cannot be written: {error.strerror}.") from None
