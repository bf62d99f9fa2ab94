"""Writes why starts are held back to a file, for `argus-tasks status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import read_mapping, write_json

HOLDING_JSON = "holding.json"
WRITE_EVERY_S = 2.0


class HoldingNotice:
    """Writes the reasons when they have changed, at most every `WRITE_EVERY_S` seconds.

    Args:
        folder: the folder of the batch, `.sweep/<batch_id>`.
        clock: returns the time in seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / HOLDING_JSON
        self._clock = clock
        self._said: tuple[str, ...] = ()
        self._next_at = 0.0

    def write(self, reasons: Sequence[str]) -> None:
        """Write the present reasons; none if nothing is held back."""
        now = self._clock()
        if tuple(reasons) == self._said or now < self._next_at:
            return
        self._said, self._next_at = tuple(reasons), now + WRITE_EVERY_S
        with suppress(OSError):  # a full disk: the progress line says it, too
            write_json(self._path, {"at": utc_now_iso(), "reasons": list(reasons)})

    def end(self) -> None:
        """Remove the file: nothing is held back any more."""
        if self._said:
            with suppress(OSError):
                self._path.unlink()


def holding_reasons(folder: Path) -> list[str]:
    """The reasons that a running sweep has written last."""
    reasons = read_mapping(folder / HOLDING_JSON).get("reasons")
    return [str(reason) for reason in reasons or ()]
