"""What the running code is inside of, asked from deep within: a run, a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class ContextStack(Generic[T]):
    """Things that are entered and left, in whatever thread."""

    def __init__(self, name: str) -> None:
        self._mine: ContextVar[tuple[T, ...]] = ContextVar(f"argus_tasks_{name}", default=())
        self._all: list[T] = []

    def enter(self, thing: T) -> None:
        """The code that follows is inside of it."""
        self._all.append(thing)
        self._mine.set((*self._mine.get(), thing))

    def leave(self, thing: T) -> None:
        """It is not any more. Nothing happens where it never was."""
        self._all[:] = [one for one in self._all if one is not thing]
        self._mine.set(tuple(one for one in self._mine.get() if one is not thing))

    @contextmanager
    def inside(self, thing: T) -> Iterator[None]:
        """Enter, and leave whatever happens."""
        self.enter(thing)
        try:
            yield
        finally:
            self.leave(thing)

    def current(self) -> T | None:
        """The one that this thread entered last and has not left; else the only one that the
        process is inside of; else None."""
        entered = list(self._all)
        for thing in reversed(self._mine.get()):
            if any(one is thing for one in entered):
                return thing
        return entered[0] if len(entered) == 1 else None
