"""When a failed attempt is tried again: one rule, asked by the worker and by Prefect alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from argus_tasks.base.errors import BadInput


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for what a config is tried again.

    Attributes:
        max_attempts: every try, the first too (1: no retry).
        retry_on: names of exception classes; a name matches the class and all that inherit from
            it, `Exception` matches them all.
        delay_s: seconds before the second try.
        backoff: each further delay is the one before times this.
    """

    max_attempts: int = 1
    retry_on: tuple[str, ...] = ("Exception",)
    delay_s: float = 0.0
    backoff: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int):
            raise BadInput(f"max_attempts is {self.max_attempts!r}; expected a whole number.")
        if self.delay_s < 0:
            raise BadInput(f"delay_s is {self.delay_s!r}; expected seconds, 0 or more.")
        if self.backoff < 1:
            raise BadInput(f"backoff is {self.backoff!r}; expected a factor, 1 or more.")

    @staticmethod
    def names(given: Sequence[str]) -> tuple[str, ...]:
        """`retry_on` as a tuple. Errors: BadInput for one name where a list is expected."""
        if isinstance(given, str):
            raise BadInput(f"retry_on is '{given}'; expected a list of names such as ['{given}'].")
        return tuple(given)

    def wants(self, kinds: Sequence[str], attempt: int) -> bool:
        """True where an attempt (from 1) that failed with these class names is tried again.

        `kinds` are the exception's class and all its bases.
        """
        if attempt >= max(1, self.max_attempts):
            return False
        return any(name in kinds for name in self.retry_on)

    def delay_after(self, attempt: int) -> float:
        """Seconds between attempt `attempt` (from 1) and the next."""
        return float(self.delay_s * self.backoff ** (attempt - 1))
