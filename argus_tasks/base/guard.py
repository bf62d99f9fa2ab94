"""The one never-raise guard: what watches a run must never be what ends it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")

log = logging.getLogger("argus_tasks")


def guarded(default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]:
    """Turn any Exception of the decorated function into one log line and the default.

    KeyboardInterrupt and SystemExit are the user's and pass. With ARGUS_TASKS_RAISE=1 (our own
    tests) the exception passes too, so that the guard cannot hide our defects from us.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R | D]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R | D:
            try:
                return function(*args, **kwargs)
            except Exception:  # noqa: BLE001 - this is the guard
                swallow(function.__qualname__)
                return default

        return call

    return decorate


def swallow(what: str) -> None:
    """For an `except Exception` on a hot path, where `guarded` would cost too much: one log line,
    or the exception again with ARGUS_TASKS_RAISE=1."""
    if os.environ.get("ARGUS_TASKS_RAISE") == "1":
        raise
    log.warning("argus-tasks: %s failed", what, exc_info=True)
