"""Causes: why an attempt failed, in one label, the same in `run.json`, ledger, task state and
retry.

A label is an exception's class name or one of the labels below. `retry_on` and `not_on` take both.
"""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterable

from argus_tasks.base.errors import ArgusTasksError, BadInput, did_you_mean

SKIPPED = "skipped"
PRUNED = "pruned"
TIMEOUT = "timeout"
OUT_OF_MEMORY = "out of memory"
DISK_FULL = "disk full"
PARENT_LOST = "parent lost"
NODE_LOST = "node lost"
CLAIM_LOST = "claim lost"
UNLOADABLE = "experiment does not load"

# Without the labels that are never retried: a skip, a stop.
_LABELS = (TIMEOUT, OUT_OF_MEMORY, DISK_FULL, PARENT_LOST, NODE_LOST, UNLOADABLE)
_NUMBERED = re.compile(r"exit \d+|signal \d+|signal SIG[A-Z0-9+]+")
_CLASS = re.compile(r"[^\W\d]\w*")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class NamedFailure(ArgusTasksError):
    """A failure with a cause of its own.

    Attributes:
        cause: the label.
        evidence: the text that `error.log` holds in place of a stack trace.
    """

    def __init__(self, cause: str, message: str, evidence: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.evidence = evidence

    def __reduce__(self) -> tuple[type[NamedFailure], tuple[object, ...]]:
        return type(self), (self.cause, str(self), self.evidence)


def stopped_by(who: str) -> str:
    """The label of a run that was stopped."""
    return f"stopped by {who}"


def of_status(code: int) -> str:
    """`exit CODE`, or `signal NAME` where the code is a signal's number, negative."""
    if code >= 0:
        return f"exit {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def of_exception(error: BaseException) -> str:
    """The cause of a NamedFailure, else the class's name; `disk full` for a full disk."""
    if isinstance(error, NamedFailure):
        return error.cause
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return DISK_FULL
    return type(error).__name__


def check_names(key: str, names: Iterable[str]) -> None:
    """Raise BadInput for a name that is neither an exception's class name nor a label."""
    for name in names:
        if isinstance(name, str) and (
            name in _LABELS or _CLASS.fullmatch(name) or _NUMBERED.fullmatch(name)
        ):
            continue
        raise BadInput(
            f"{key} has {name!r}; expected names of exception classes, or of"
            f" {', '.join(_LABELS)}, exit CODE, signal NAME."
            f"{did_you_mean(str(name), _LABELS)}"
        )
