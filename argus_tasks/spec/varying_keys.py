"""Finds the keys whose values differ between the configs of a sweep."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import flatten
from argus_tasks.base.redact import MASK, redact
from argus_tasks.base.secret_names import names_a_secret

# A dotted key and the JSON of its value: 1 and 1.0 are one value, 1 and true are two.
Pair: TypeAlias = tuple[str, str]


class Pairs:
    """Makes key-value pairs of configs, and remembers the text of values that it has seen."""

    def __init__(self) -> None:
        self._texts: dict[tuple[type, Hashable], str] = {}

    def of(self, config: Mapping[str, Any]) -> tuple[Pair, ...]:
        """Every dotted key of the config, with its value."""
        return tuple((key, self._text(value)) for key, value in flatten(config).items())

    def _text(self, value: Any) -> str:
        if not isinstance(value, str | int | float | None):
            return canonical_json(value)
        known = (type(value), value)
        text = self._texts.get(known)
        if text is None:
            text = self._texts[known] = canonical_json(value)
        return text


def varying(configs: Sequence[Iterable[Pair]]) -> list[tuple[Pair, ...]]:
    """The pairs of each config, without the keys that have the same value in all configs."""
    often: dict[Pair, int] = {}
    for pairs in configs:
        for pair in pairs:
            often[pair] = often.get(pair, 0) + 1
    return [tuple(pair for pair in pairs if often[pair] < len(configs)) for pairs in configs]


def shown_pair(pair: Pair) -> str:
    """The pair as text for people, without secrets: `model=patchtst`."""
    key, text = pair
    if names_a_secret(key):
        return f"{key}={MASK}"
    value = json.loads(text)
    return redact(f"{key}={value if isinstance(value, str) else text}")
