"""When a failed attempt is tried again: one rule, asked by the worker and by Prefect alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.runs.record.causes import NODE_LOST, check_names


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for what a config is tried again.

    Attributes:
        max_attempts: every try, the first too (1: no retry).
        retry_on: names of exception classes and causes of death (`runs.record.causes`); the name
            of a class matches it and all that inherit from it, `Exception` also every death of a
            worker.
        delay_s: seconds before the second try.
        backoff: each further delay is the one before times this.
        not_on: names as in `retry_on` that are never tried again; they win.
    """

    max_attempts: int = 1
    retry_on: tuple[str, ...] = ("Exception",)
    delay_s: float = 0.0
    backoff: float = 1.0
    not_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_names("retry_on", self.retry_on)
        check_names("not_on", self.not_on)

    @classmethod
    def of(cls, *, retry_on: Sequence[str], not_on: Sequence[str], **rest: Any) -> RetryPolicy:
        """The policy of a sweep file's section. Errors: BadInput for a cause that there is none."""
        return cls(retry_on=tuple(retry_on), not_on=tuple(not_on), **rest)

    def wants(self, kinds: Sequence[str], attempt: int) -> bool:
        """True where an attempt (from 1) that failed with these names is tried again.

        `kinds` are the cause, and the exception's class and all its bases.
        """
        if attempt >= max(1, self.max_attempts):
            return False
        if any(name in kinds for name in self.not_on):
            return False
        return any(name in kinds for name in self.retry_on)

    def forgives(self, cause: str | None) -> bool:
        """True where a failure is nobody's fault here: the first such of a run is tried again
        whatever `max_attempts` and `retry_on` say."""
        return cause == NODE_LOST and NODE_LOST not in self.not_on

    def delay_after(self, attempt: int) -> float:
        """Seconds between attempt `attempt` (from 1) and the next."""
        return float(self.delay_s * self.backoff ** (attempt - 1))
