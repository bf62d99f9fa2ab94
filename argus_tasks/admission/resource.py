"""The interface between the gate and the resources: a demand, a grant or a refusal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Demand:
    """What one attempt of a config needs before it starts.

    Attributes:
        index: the config's position in the plan.
        limits: the named limits that it takes slots of, each with the number of slots.
        alone: whether no other attempt of this sweep may run at the same time.
    """

    index: int
    limits: tuple[tuple[str, int], ...] = ()
    alone: bool = False

    @property
    def kind(self) -> object:
        """Equal for demands that are admitted or refused alike."""
        return (self.limits, self.alone)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal, with its reason for people: `CPU 93 % over 80 %`."""

    reason: str


class Resource(ABC):
    """Something that a start may have to wait for.

    The gate calls `try_take` and `give_back` while it holds its lock. So they return at once, and
    do not call the callback of `on_change`.
    """

    @abstractmethod
    def try_take(self, demand: Demand, running: int) -> object | Refusal:
        """Take what the demand needs.

        Args:
            demand: the demand.
            running: the number of attempts of this sweep that hold a ticket now.

        Returns:
            A grant (any value, None too), or a Refusal.
        """

    @abstractmethod
    def give_back(self, grant: object) -> None:
        """Take back a grant that `try_take` has returned."""

    def environment(self, grant: object) -> Mapping[str, str]:  # noqa: ARG002
        """The environment variables that the grant adds to the attempt."""
        return {}

    def facts(self, grant: object) -> Mapping[str, Any]:  # noqa: ARG002
        """What `meta.json` records of the grant, in `extras`."""
        return {}

    def close(self) -> None:  # noqa: B027
        """Called when no attempt will follow, and no worker is left."""

    @property
    def likely(self) -> Sequence[Mapping[str, str]]:
        """The environments that its grants have, so that workers can be started for them in
        advance."""
        return ()

    def on_change(self, callback: Callable[[], None]) -> None:  # noqa: B027 - most have none
        """Have `callback` called, from any thread, whenever a refused demand may succeed."""
