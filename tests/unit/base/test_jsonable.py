"""Any value becomes JSON proper."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.base.jsonable import to_jsonable


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_known_kinds() -> None:
    value = {
        "f32": np.float32(0.5),
        "array": np.arange(3),
        "path": Path("a/b"),
        "set": {2, 1},
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "bytes": b"\x00",
        1: "int key",
        None: "null key",
    }
    assert to_jsonable(value) == {
        "f32": 0.5,
        "array": [0, 1, 2],
        "path": "a/b",
        "set": [1, 2],
        "when": "2026-01-02T00:00:00+00:00",
        "bytes": "AA==",
        "1": "int key",
        "null": "null key",
    }


def test_numbers_that_are_not_finite_are_null_and_named() -> None:
    named: dict[str, str] = {}
    value = {"a": float("nan"), "b": [1.0, float("-inf")], "c": np.float64("inf")}
    assert to_jsonable(value, named) == {"a": None, "b": [1.0, None], "c": None}
    assert named == {"a": "nan", "b.1": "-inf", "c": "inf"}


def test_what_cannot_be_said_is_said_so() -> None:
    assert to_jsonable(Rude()) == "<unreadable Rude: RuntimeError>"
    loop: list[Any] = []
    loop.append(loop)
    assert to_jsonable(loop) == ["<refers to itself>"]
    assert to_jsonable("\ud800") == "?"


@pytest.mark.parametrize(("wrap", "open_"), [(lambda x: [x], "["), (lambda x: {"a": x}, '{"a": ')])
def test_no_deeper_than_forty(wrap: Callable[[Any], Any], open_: str) -> None:
    value: Any = 1
    for _ in range(39):
        value = wrap(value)
    assert json.dumps(to_jsonable(value)).count(open_) == 39
    for _ in range(100_000):
        value = wrap(value)
    assert json.dumps(to_jsonable(value)).startswith(open_ * 40 + '"<too deep>"')


def test_keys_are_as_json_has_them() -> None:
    assert to_jsonable({True: 1, None: 2, 3: 4}) == {"true": 1, "null": 2, "3": 4}


def test_the_same_value_twice_is_no_loop() -> None:
    shared = [1]
    assert to_jsonable([shared, shared]) == [[1], [1]]


_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
_keys = st.text() | st.integers() | st.none() | st.booleans()
_trees = st.recursive(
    _leaves | st.builds(Rude),
    lambda inner: st.lists(inner) | st.dictionaries(_keys, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_trees)
def test_whatever_it_is_it_becomes_json(value: Any) -> None:
    text = json.dumps(to_jsonable(value), allow_nan=False, ensure_ascii=False)
    json.loads(text.encode("utf-8"))
