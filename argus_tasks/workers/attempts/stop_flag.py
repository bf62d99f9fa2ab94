"""The stop flag: one byte of memory that a sweep shares with its workers, which `ctx.stopped`
reads."""

from __future__ import annotations

import mmap
import os

from argus_tasks.base.memfile import anonymous_file

CODE_CHANGED = "code changed"
"""The rule of a sweep with `on_code_change: stop` whose code is edited while it runs."""
RULES = (
    *("max_failures", "max_consecutive_failures", "fail_fast", "max_runtime"),
    *("disk full", CODE_CHANGED),
)
"""The rules by which a sweep stops itself (the section `stop`, and those of `session`)."""
# Who can stop a sweep; the byte contains the index, and 0 means that nobody has.
STOPPERS = ("", "user", "monitor", "Prefect", "argus-tasks stop", "another host", *RULES)


class StopFlag:
    """A flag that is set once, and seen at once by every process that has mapped it."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _make() if descriptor is None else descriptor
        self._page = mmap.mmap(self.descriptor, 1)

    def set(self, by: str) -> None:
        """Set the flag; the first of `STOPPERS` to do so is remembered."""
        if not self._page[0]:
            self._page[0] = STOPPERS.index(by)

    def is_set(self) -> bool:
        """Whether the flag has been set."""
        return self._page[0] != 0

    def by(self) -> str:
        """Who set the flag: one of `STOPPERS`; empty if nobody has."""
        return STOPPERS[self._page[0]]

    def close(self) -> None:
        """Release the memory, in the process that created it."""
        self._page.close()
        os.close(self.descriptor)


def _make() -> int:
    descriptor = anonymous_file("stop")
    os.ftruncate(descriptor, 1)
    return descriptor
