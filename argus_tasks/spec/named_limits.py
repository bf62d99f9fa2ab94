"""The named limits of a sweep: which configs take how many slots of them."""

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
    """A global concurrency limit on Prefect's server as a sweep uses it.

    Attributes:
        name: its name on the server.
        limit: the number of slots with which it is created, if the server has none of this name.
        slots: the number of slots that an attempt takes.
        rule: the section of the sweep file that says all this, and which configs it applies to.
    """

    name: str
    limit: int
    slots: int
    rule: Limit

    def applies_to(self, config: Mapping[str, Any]) -> bool:
        """Whether attempts of the config take slots."""
        return self.rule.where is None or matches(config, self.rule.where)


def named_limits(
    sections: Mapping[str, Limit], configs: Iterable[Mapping[str, Any]]
) -> tuple[NamedLimit, ...]:
    """The named limits of a sweep.

    Raises:
        BadInput: if an attempt would take more slots than there are, or a `where` names a key that
            no config has.
    """
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
    """The names of the limits that an attempt of the config takes slots of, each with the number of
    slots."""
    return tuple((each.name, each.slots) for each in limits if each.applies_to(config))
