"""What the commands print."""

from __future__ import annotations

import os
import sys

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
