"""The guard that keeps errors of reporting from ending the user's run."""

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
    """Decorate a function: an Exception that it raises is logged, and the default is returned.

    KeyboardInterrupt and SystemExit pass. With ARGUS_TASKS_RAISE=1 (in the tests of this package)
    every exception passes, so that the guard hides no defect.

    Args:
        default: the value that is returned instead.
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
    """Log the exception that is being handled; with ARGUS_TASKS_RAISE=1 raise it again.

    For an `except Exception` where `guarded` would cost too much.

    Args:
        what: the name of the function that failed.
    """
    if os.environ.get("ARGUS_TASKS_RAISE") == "1":
        raise
    log.warning("argus-tasks: %s failed", what, exc_info=True)
