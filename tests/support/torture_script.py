"""`python torture_script.py MARKS X`: a run that marks its beginning and its end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def mark(marks: str, x: object, what: str) -> int:
    """A new file for this, made by O_EXCL, with the process's number; which one it is."""
    number = 0
    while True:
        number += 1
        try:
            made = os.open(
                Path(marks, f"{x} {number} {what}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY
            )
        except FileExistsError:
            continue
        os.write(made, str(os.getpid()).encode())
        os.close(made)
        return number


def held(marks: str) -> bool:
    """Whether the runs are to wait before they end."""
    return Path(marks, "hold").exists()


if __name__ == "__main__":
    mark(sys.argv[1], sys.argv[2], "begun")
    for step in range(6):
        print(f"METRIC loss={1 / (step + 1)} step={step}", flush=True)
        time.sleep(0.05)
    while held(sys.argv[1]):
        time.sleep(0.05)
    mark(sys.argv[1], sys.argv[2], "done")
