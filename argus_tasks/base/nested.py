"""Nested mappings and dotted keys: `optim.lr` stands for `{optim: {lr: ...}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final


class Missing:
    """The type of MISSING, which `reach` returns where there is no value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Blocked(Exception):
    """A path leads through a value that is no mapping; `key` is that value's dotted key."""

    def __init__(self, key: str, value: object) -> None:
        super().__init__(key)
        self.key = key
        self.value = value


def copy_tree(value: Any) -> Any:
    """A copy that shares no mapping and no list with the original."""
    if isinstance(value, dict):
        return {key: copy_tree(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_tree(item) for item in value]
    return value


def lay(config: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set the value at a path; missing mappings on the way are made.

    A mapping is merged into a mapping key by key. Any other value replaces the old one.

    Args:
        config: the mapping that is changed.
        path: the keys, from the outermost.
        value: the value; it is copied.

    Raises:
        Blocked: the path leads through a value that is no mapping.
    """
    at = config
    for depth, part in enumerate(path[:-1]):
        below = at.get(part, MISSING)
        if below is MISSING:
            below = at[part] = {}
        elif not isinstance(below, dict):
            raise Blocked(".".join(path[: depth + 1]), below)
        at = below
    last = path[-1]
    there = at.get(last)
    if isinstance(value, dict) and isinstance(there, dict):
        for key, item in value.items():
            lay(there, (key,), item)
    else:
        at[last] = copy_tree(value)


def reach(config: Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted key, or MISSING. A key that contains the dots itself wins."""
    if dotted in config:
        return config[dotted]
    at: Any = config
    for part in dotted.split("."):
        if not isinstance(at, Mapping) or part not in at:
            return MISSING
        at = at[part]
    return at


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values by dotted key, in order; an empty mapping counts as a value."""
    flat: dict[str, Any] = {}
    _flatten(config, "", flat)
    return flat


def _flatten(config: Mapping[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            _flatten(value, f"{prefix}{key}.", flat)
        else:
            flat[f"{prefix}{key}"] = value
