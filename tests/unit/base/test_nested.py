"""Dotted keys into nested mappings."""

from __future__ import annotations

from typing import Any

import pytest

from argus_tasks.base.nested import MISSING, Blocked, flatten, lay, reach


def test_reach() -> None:
    config = {"a": {"b": {"c": 1}}, "a.b": 2, "n": None, "l": [1]}
    assert reach(config, "a.b.c") == 1
    assert reach(config, "a.b") == 2
    assert reach(config, "n") is None
    for nowhere in ("x", "a.x", "n.x", "l.0", "", "a."):
        assert reach(config, nowhere) is MISSING


def test_flatten() -> None:
    config = {"a": {"b": {"c": 1}, "e": {}}, "l": [{"x": 1}], "z": None}
    assert flatten(config) == {"a.b.c": 1, "a.e": {}, "l": [{"x": 1}], "z": None}
    assert list(flatten(config)) == ["a.b.c", "a.e", "l", "z"]


def test_lay() -> None:
    config: dict[str, Any] = {"a": 1}
    lay(config, ("b", "c"), {"d": 1, "e": [1]})
    lay(config, ("b", "c"), {"d": {"f": 2}})
    assert config == {"a": 1, "b": {"c": {"d": {"f": 2}, "e": [1]}}}
    with pytest.raises(Blocked) as caught:
        lay(config, ("b", "c", "e", "x", "y"), 1)
    assert (caught.value.key, caught.value.value) == ("b.c.e", [1])
