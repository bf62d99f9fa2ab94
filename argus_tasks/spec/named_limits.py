"""Named limits: which there are, and which configs take slots of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.nested import MISSING, reach
from argus_tasks.spec.filters import matches
from argus_tasks.spec.sections import Limit


@dataclass(frozen=True, slots=True)
class NamedLimit:
    """A limit on Prefect's server, and who takes how much of it.

    Attributes:
        name: its name there, shared by all that name it.
        limit: how many slots it is made with where the server has none of that name.
        slots: how many an attempt takes.
        rule: which configs do, and the same in the sweep file's words.
    """

    name: str
    limit: int
    slots: int
    rule: Limit

    def applies_to(self, config: Mapping[str, Any]) -> bool:
        """Whether an attempt of the config takes slots."""
        return self.rule.where is None or matches(config, self.rule.where)


def named_limits(
    sections: Mapping[str, Limit], configs: Iterable[Mapping[str, Any]]
) -> tuple[NamedLimit, ...]:
    """The limits of a sweep. Errors: BadInput for one that could never be had, or whose `where`
    names a key that no config has."""
    found = []
    known = list(configs)
    for name, rule in sections.items():
        if rule.slots > rule.limit:
            raise BadInput(
                f"limits.{name}.slots is {rule.slots}, more than its limit; expected at most"
                f" {rule.limit}."
            )
        for key in {key for wanted in rule.where or () for key in wanted}:
            if all(reach(config, key) is MISSING for config in known):
                tops = {top for config in known for top in config}
                raise BadInput(
                    f"limits.{name}.where names '{key}', which no config has."
                    f"{did_you_mean(key, sorted(tops))}"
                )
        found.append(NamedLimit(name, rule.limit, rule.slots, rule))
    return tuple(found)


def required_slots(
    limits: Iterable[NamedLimit], config: Mapping[str, Any]
) -> tuple[tuple[str, int], ...]:
    """What an attempt of the config takes: names and slots."""
    return tuple((each.name, each.slots) for each in limits if each.applies_to(config))
