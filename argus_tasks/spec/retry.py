"""The retry policy of a sweep. `Outcome.is_retried` asks it; nothing else decides about retries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.runs.record.causes import NODE_LOST, check_names


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """After which failures, and how often, a run is retried.

    Attributes:
        max_attempts: the largest number of attempts, the first one included (1: no retry).
        retry_on: the failures that are retried: names of exception classes, which include their
            subclasses, and of causes (`runs.record.causes`). `Exception` includes every death of a
            worker process.
        delay_s: the time in seconds before the second attempt.
        backoff: the factor by which each delay is longer than the one before.
        not_on: the failures that are never retried, named as in `retry_on`, which they overrule.
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
        """Make a policy from the section of a sweep file. Raises BadInput for an unknown cause."""
        return cls(retry_on=tuple(retry_on), not_on=tuple(not_on), **rest)

    def allows(self, kinds: Sequence[str], attempt: int) -> bool:
        """Whether another attempt may follow one that failed.

        Args:
            kinds: the names of the failure: its cause, the exception's class, and all its bases.
            attempt: the number of the failed attempt, from 1.
        """
        if attempt >= max(1, self.max_attempts):
            return False
        if any(name in kinds for name in self.not_on):
            return False
        return any(name in kinds for name in self.retry_on)

    def allows_free_retry(self, cause: str | None) -> bool:
        """Whether an attempt that failed with this cause may be retried without being counted,
        whatever `max_attempts` and `retry_on` are. A run gets one such retry: a lost node says
        nothing about the run."""
        return cause == NODE_LOST and NODE_LOST not in self.not_on

    def delay_after(self, attempt: int) -> float:
        """The delay in seconds between an attempt (numbered from 1) and the next."""
        return float(self.delay_s * self.backoff ** (attempt - 1))
