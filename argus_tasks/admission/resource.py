"""What a start asks for, what answers, and how a refusal is said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Demand:
    """What one attempt of a config asks for before it starts.

    Attributes:
        index: the config's place in the plan.
        limits: the named limits it takes slots of: name and how many.
        alone: nothing else of this sweep may run beside it.
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
    """A refusal, and why, for the person who watches: `CPU 93 % over 80 %`."""

    reason: str


class Resource(ABC):
    """Something that a start may have to wait for.

    The gate calls `try_take` and `give_back` under its lock: they return at once, and do not call
    what `on_change` has given.
    """

    @abstractmethod
    def try_take(self, demand: Demand, running: int) -> object | Refusal:
        """Take what the demand needs: a grant (anything, None too), or why it must wait.

        `running` counts the attempts of this sweep that hold a ticket now.
        """

    @abstractmethod
    def give_back(self, grant: object) -> None:
        """Take back what `try_take` returned."""

    def environment(self, grant: object) -> Mapping[str, str]:  # noqa: ARG002
        """What the attempt's environment needs of this grant."""
        return {}

    def facts(self, grant: object) -> Mapping[str, Any]:  # noqa: ARG002
        """What `meta.json` says of this grant, in `extras`."""
        return {}

    def close(self) -> None:  # noqa: B027
        """No attempt will ask any more, and no worker is left."""

    @property
    def likely(self) -> Sequence[Mapping[str, str]]:
        """The environments that its grants come with, where workers can be made ready for them."""
        return ()

    def on_change(self, callback: Callable[[], None]) -> None:  # noqa: B027 - most have none
        """Call `tell` (from any thread) whenever room may have come up by itself."""
