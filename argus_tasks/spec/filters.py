"""Decides which configs match a filter, without evaluating any code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import MISSING, reach
from argus_tasks.spec.config_sections import Condition


def matches(config: Mapping[str, Any], filters: Sequence[Mapping[str, Condition]]) -> bool:
    """Whether all conditions of at least one of the mappings hold for the config."""
    return any(
        all(holds(condition, reach(config, key)) for key, condition in wanted.items())
        for wanted in filters
    )


def holds(condition: Condition, value: Any) -> bool:
    """Whether the value meets every condition; a missing value meets only `not`."""
    if condition.none_of is not None:
        if value is not MISSING and any(_same(value, other) for other in condition.none_of):
            return False
        if condition.model_fields_set == {"none_of"}:
            return True
    if value is MISSING:
        return False
    if condition.one_of is not None and not any(_same(value, o) for o in condition.one_of):
        return False
    if condition.glob is not None and not (
        isinstance(value, str) and fnmatchcase(value, condition.glob)
    ):
        return False
    return _within(condition, value)


def _within(condition: Condition, value: Any) -> bool:
    low, high = (condition.gt, condition.ge), (condition.lt, condition.le)
    if (*low, *high) == (None, None, None, None):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (condition.gt is None or value > condition.gt)
        and (condition.ge is None or value >= condition.ge)
        and (condition.lt is None or value < condition.lt)
        and (condition.le is None or value <= condition.le)
    )


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    return canonical_json(left) == canonical_json(right)
