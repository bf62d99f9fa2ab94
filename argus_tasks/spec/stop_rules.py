"""When a sweep stops by itself, or holds some of its configs back: the rules, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.quantities import seconds_of, share_of


@dataclass(frozen=True, slots=True)
class StoppingRules:
    """When a sweep stops by itself.

    Attributes:
        max_failures: so many configs have failed for good: a count, or `5%` of all configs.
        max_consecutive_failures: so many have failed one after the other.
        fail_fast: one has failed.
        max_runtime: so long ago it was started: seconds, or `2h`.
        breaker: so many configs that share a value have failed alike, and others have not: the rest
            with that value are held back, and the sweep goes on.
    """

    max_failures: int | str | None = None
    max_consecutive_failures: int | None = None
    fail_fast: bool = False
    max_runtime: float | str | None = None
    breaker: int | None = None

    def __post_init__(self) -> None:
        most = self.max_failures
        if isinstance(most, str):
            if not 0 < (share_of(most) or 0) <= 1:
                raise _no_count("max_failures", most)
        elif most is not None and not _is_count(most):
            raise _no_count("max_failures", most)
        row = self.max_consecutive_failures
        if row is not None and not _is_count(row):
            raise BadInput(
                f"max_consecutive_failures is {row!r}; expected a whole number, 1 or more."
            )
        if not isinstance(self.fail_fast, bool):
            raise BadInput(f"fail_fast is {self.fail_fast!r}; expected True or False.")
        self.runtime_s()
        if self.breaker is not None and (not _is_count(self.breaker) or self.breaker < 2):
            raise BadInput(f"breaker is {self.breaker!r}; expected a whole number, 2 or more.")

    def most_failures(self, total: int) -> int | None:
        """How many failures of so many configs stop the sweep."""
        share = share_of(self.max_failures)
        if share is not None:
            return max(1, math.ceil(round(share * total, 9)))
        return None if self.max_failures is None else int(self.max_failures)

    def runtime_s(self) -> float | None:
        """The seconds after which the sweep is stopped."""
        if self.max_runtime is None:
            return None
        return seconds_of("max_runtime", self.max_runtime)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _no_count(key: str, value: object) -> BadInput:
    return BadInput(
        f"{key} is {value!r}; expected a whole number, 1 or more, or a share such as '5%'."
    )
