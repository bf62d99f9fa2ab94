"""The exceptions of this package."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from argus_tasks.base.redact import known_secrets, redact


class ArgusTasksError(Exception):
    """The base class of the exceptions of this package. Secrets in their messages are masked."""

    def __init__(self, *args: object) -> None:
        known = known_secrets()
        super().__init__(*(redact(arg, known) if isinstance(arg, str) else arg for arg in args))


class BadInput(ArgusTasksError, ValueError):
    """A value of the caller cannot be used. Nothing has been started or written.

    The message is one sentence that names the key, the value and what was expected.
    """


class MissingExtra(ArgusTasksError, ImportError):
    """An optional package is not installed; the message names the extra that installs it."""


class SkipRun(Exception):
    """Raise this in an experiment to end its run as skipped: not failed, and not retried."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'workers'?"` where a known word is close, else an empty string."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
