"""The named limits of a sweep: which configs take how many slots of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.nested import MISSING, reach
from argus_tasks.spec.filters import matches
from argus_tasks.spec.sections import Limit


def check_limits(limits: Mapping[str, Limit], configs: Sequence[Mapping[str, Any]]) -> None:
    """Check the section `limits` against the configs.

    Raises:
        BadInput: if an attempt would take more slots than there are, or a `where` names a key that
            no config has.
    """
    for name, limit in limits.items():
        if limit.slots > limit.limit:
            raise BadInput(
                f"limits.{name}.slots is {limit.slots}, more than its limit; expected at most"
                f" {limit.limit}."
            )
        for key in {key for wanted in limit.where or () for key in wanted}:
            if all(reach(config, key) is MISSING for config in configs):
                tops = {top for config in configs for top in config}
                raise BadInput(
                    f"limits.{name}.where names '{key}', which no config has."
                    f"{did_you_mean(key, sorted(tops))}"
                )


def required_slots(
    limits: Mapping[str, Limit], config: Mapping[str, Any]
) -> tuple[tuple[str, int], ...]:
    """The names of the limits that an attempt of the config takes slots of, each with the number
    of slots."""
    return tuple(
        (name, limit.slots)
        for name, limit in limits.items()
        if limit.where is None or matches(config, limit.where)
    )
