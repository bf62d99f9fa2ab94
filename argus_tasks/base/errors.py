"""The exceptions this package raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from argus_tasks.base.redact import known_secrets, redact


class ArgusTasksError(Exception):
    """Everything this package raises on purpose inherits from it; no message shows a secret."""

    def __init__(self, *args: object) -> None:
        known = known_secrets()
        super().__init__(*(redact(arg, known) if isinstance(arg, str) else arg for arg in args))


class BadInput(ArgusTasksError, ValueError):
    """An argument, option or file cannot be used; nothing has been started or written.

    The message is one sentence that names the key, the value and what was expected.

    Examples:
        >>> from argus_tasks import BadInput, sweep_flow
        >>> try:
        ...     sweep_flow([{"lr": 0.1}], lambda ctx: None, workers=0)
        ... except BadInput as error:
        ...     print(error)
        workers is 0; expected an integer of 1 or more, or auto.
    """


class MissingExtra(ArgusTasksError, ImportError):
    """A package that only some parts need is not installed; the message names the extra."""


class SkipRun(Exception):
    """Raise it in an experiment to end the run as skipped: not a failure, and never retried.

    Examples:
        >>> from argus_tasks import ExpRunner, SkipRun
        >>> def train(ctx):
        ...     if ctx.config["lr"] > 1:
        ...         raise SkipRun("the learning rate is too high")
        ...     return {"loss": ctx.config["lr"]}
        >>> ExpRunner([{"lr": 0.1}, {"lr": 10}], "results", train).run().sentence()
        '1 of 2 succeeded, 1 skipped'
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'workers'?"` where a known word is close, else an empty string."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
