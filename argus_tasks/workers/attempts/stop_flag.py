"""One byte shared by a sweep and its workers: read by `ctx.stopped`, at no cost."""

from __future__ import annotations

import mmap
import os

from argus_tasks.base.memfile import anonymous_file

RULES = ("max_failures", "max_consecutive_failures", "fail_fast", "max_runtime", "disk full")
"""The sweep's own rules that stop it (`spec.stop_rules`, `session.disk_room`)."""
# Who can stop a sweep; the byte holds the index, 0 is nobody.
STOPPERS = ("", "user", "monitor", "Prefect", "argus-tasks stop", "another host", *RULES)


class StopFlag:
    """Set once, seen at once by every process that has mapped it."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _make() if descriptor is None else descriptor
        self._page = mmap.mmap(self.descriptor, 1)

    def set(self, by: str) -> None:
        """Tell everybody to stop; the first of `STOPPERS` who says so is remembered."""
        if not self._page[0]:
            self._page[0] = STOPPERS.index(by)

    def is_set(self) -> bool:
        """True once anybody has said stop."""
        return self._page[0] != 0

    def by(self) -> str:
        """Who said stop: one of `STOPPERS`, empty where nobody has."""
        return STOPPERS[self._page[0]]

    def close(self) -> None:
        """Let go of it, where this process has made it."""
        self._page.close()
        os.close(self.descriptor)


def _make() -> int:
    descriptor = anonymous_file("stop")
    os.ftruncate(descriptor, 1)
    return descriptor
