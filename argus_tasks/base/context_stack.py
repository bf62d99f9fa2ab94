"""Find the run or job that the running code belongs to, without passing it along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")


class ContextStack(Generic[T]):
    """A stack of objects (runs, jobs) that code enters and leaves, in any thread.

    Each thread has its own stack; all threads share the list of entered objects.
    """

    def __init__(self, name: str) -> None:
        self._mine: ContextVar[tuple[T, ...]] = ContextVar(f"argus_tasks_{name}", default=())
        self._all: list[T] = []

    def enter(self, thing: T) -> None:
        """Enter an object: the code that follows belongs to it."""
        self._all.append(thing)
        self._mine.set((*self._mine.get(), thing))

    def leave(self, thing: T) -> None:
        """Leave an object; nothing happens if it was not entered."""
        self._all[:] = [one for one in self._all if one is not thing]
        self._mine.set(tuple(one for one in self._mine.get() if one is not thing))

    @contextmanager
    def inside(self, thing: T) -> Iterator[None]:
        """Within this block, the code belongs to an object."""
        self.enter(thing)
        try:
            yield
        finally:
            self.leave(thing)

    def current(self) -> T | None:
        """The object that this thread entered last and has not left; else the only one that any
        thread has entered; else None."""
        entered = list(self._all)
        for thing in reversed(self._mine.get()):
            if any(one is thing for one in entered):
                return thing
        return entered[0] if len(entered) == 1 else None
