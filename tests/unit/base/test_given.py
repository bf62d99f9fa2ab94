"""A config comes back from its record as it was given, or what is lost of it is named."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import BaseModel

from argus_tasks.base.given import config_of, distinguished, given_of, lost_of, restored
from argus_tasks.base.ids import canonical_json, digest_of, earlier_digest_of
from argus_tasks.base.jsonable import to_jsonable


class Optimizer(Enum):
    ADAM = 1


@dataclass
class Adam:
    lr: float = 0.1


@dataclass
class Sgd:
    lr: float = 0.1


class Model(BaseModel):
    width: int = 8
    optimizer: Adam = Adam()


@dataclass
class Config:
    model: Model
    layers: tuple[Adam, ...] = ()


class Opaque:
    pass


class Rude:
    def __str__(self) -> str:
        raise RuntimeError


def in_record(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    plain, kinds = json.loads(json.dumps([to_jsonable(config), given_of(config)], allow_nan=False))
    return plain, kinds


def plain_of(value: Any) -> Any:
    """The value with its mappings and sequences as dicts and lists, by no code of ours."""
    if isinstance(value, Mapping):
        return {key: plain_of(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain_of, value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(map(plain_of, value))
    return value


_texts = st.text() | st.sampled_from(["<inf>", "nan", "a/b", "~1", "a.b", "\0", "class", "\ud800"])
_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | _texts
    | st.sampled_from(
        [
            Path("a/b"),
            PureWindowsPath("a"),
            date(2026, 1, 2),
            Decimal("0.1"),
            b"x",
            {1, 2},
            Optimizer.ADAM,
            Adam(math.inf),
            Model(),
            Adam,
            len,
            np.arange(2),
            Opaque(),
            Rude(),
            range(3),
            deque([1, (2,)]),
        ]
    )
)
_configs = st.dictionaries(
    _texts,
    st.recursive(
        _leaves,
        lambda inner: (
            st.lists(inner)
            | st.tuples(inner, inner)
            | st.builds(deque, st.lists(inner))
            | st.dictionaries(_texts | st.integers(), inner)
        ),
        max_leaves=10,
    ),
)


@given(_configs)
def test_a_config_comes_back_equal_or_is_said_to_be_lost(config: dict[str, Any]) -> None:
    plain, kinds = in_record(config)
    if lost_of(kinds):
        return
    again = restored(plain, kinds)
    assert repr(again) == repr(plain_of(config))  # nan equals no number, but its text
    assert digest_of("e", again) == digest_of("e", config)
    assert given_of(again) == kinds


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        ({0: 1.0}, "x has keys that are not text"),
        ({None: 1.0}, "x has keys that are not text"),
        (Optimizer.ADAM, "x is of tests.unit.base.test_given.Optimizer"),
        (Adam(), "x is of tests.unit.base.test_given.Adam"),
        (Model(), "x is of tests.unit.base.test_given.Model"),
        (Adam, "x is a class"),
        (in_record, "x is a function"),
        (date(2026, 1, 2), "x is of datetime.date"),
        (b"x", "x is of bytes"),
        ({1}, "x is of set"),
        (np.arange(2), "x is of numpy.ndarray"),
        ("\ud800", "x is text that UTF-8 cannot represent"),
        (range(200_000), "x is of range"),
        (Opaque(), "x is of tests.unit.base.test_given.Opaque"),
    ],
)
def test_what_is_lost_is_named(value: Any, phrase: str) -> None:
    assert lost_of(given_of({"x": value})) == [phrase]
    assert lost_of(given_of({"a": [{"x": value}]})) == [f"a.0.{phrase}"]


def test_tuples_paths_and_infinities_come_back_wherever_they_are() -> None:
    config = {"a.b": {"x/y": [(1, (math.inf,)), Path("p")]}, "~": -math.inf, "": (math.nan,)}
    plain, kinds = in_record(config)
    assert repr(restored(plain, kinds)) == repr(config)


def test_a_record_whose_parts_do_not_fit_gives_another_config() -> None:
    config = {"x": [math.inf]}
    plain, _ = in_record(config)
    for kinds in ({}, {"/y": "inf"}, {"/x/5": "inf"}, {"/x/a": "inf"}, {"x": "inf"}):
        assert digest_of("e", restored(plain, kinds)) != digest_of("e", config)


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        (
            [range(3), deque([0, 1, 2]), (0, 1, 2), np.arange(3), OmegaConf.create([0, 1, 2])],
            [0, 1, 2],
        ),
        ([OmegaConf.create({"a": [1], "b": "${a}"})], {"a": [1], "b": [1]}),
        ([Optimizer.ADAM, np.float32(1), 1.0], 1),
    ],
)
def test_what_is_the_same_to_a_reader_has_one_digest(values: list[Any], plain: Any) -> None:
    assert {digest_of("e", {"x": value}) for value in values} == {digest_of("e", {"x": plain})}
    for value in values:
        assert to_jsonable(value) == plain


def test_what_differs_has_digests_of_its_own() -> None:
    values = [
        {0: 1},
        {"0": 1},
        {0.5: 1},
        {True: 1},
        {"true": 1},
        {None: 1},
        {"null": 1},
        {(0,): 1},
        [None],
        [math.inf],
        [-math.inf],
        [math.nan],
        ["inf"],
        ["<inf>"],
        ["\0\0<inf>"],
        ["\ud800"],
        ["?"],
        ["\\ud800"],
        Adam(),
        Sgd(),
        {"lr": 0.1},
        Opaque(),
        Opaque(),
    ]
    assert len({digest_of("e", {"x": value}) for value in values}) == len(values)


def test_the_digests_of_ordinary_configs_are_those_of_version_1() -> None:
    """Runs that were made before are found by them."""
    config = {"lr": 0.1, "n": 2.0, "on": True, "names": ["a", None], "nested": {"ü": {}}}
    assert digest_of("m:f", config) == (
        "7324ef7220a07ff177911fb5c7d25f2b61835790c6c4356c21b4c49b0cc01cc2"
    )
    assert (
        canonical_json({"x": [math.inf, -math.inf, math.nan]}) == '{"x":["<inf>","<-inf>","<nan>"]}'
    )
    text_keys = digest_of("m:f", {"w": {"0": 1}, "opt": {"lr": 0.1}})
    assert earlier_digest_of("m:f", {"w": {0: 1}, "opt": Adam()}) == text_keys


def test_dataclasses_and_models_are_configs() -> None:
    asked = Config(Model(), (Adam(1),))
    found = config_of(asked)
    assert found == {"model": {"width": 8, "optimizer": {"lr": 0.1}}, "layers": ({"lr": 1},)}
    assert config_of(Model(width=9)) == {"width": 9, "optimizer": {"lr": 0.1}}
    assert config_of(OmegaConf.create({"a": {"b": 1}, "c": "${a.b}"})) == {"a": {"b": 1}, "c": 1}
    optimizer = Adam()
    assert (config_of({"x": optimizer}) or {})["x"] is optimizer
    for other in (Config, 3, [("a", 1)], None):
        assert config_of(other) is None


def test_a_table_tells_apart_what_json_makes_equal() -> None:
    values = [None, math.inf, -math.inf, math.nan, [None], [math.inf], Adam(), Sgd(), {"lr": 0.1}]
    shown = [distinguished(*in_record({"x": value}), "r") for value in values]
    assert len({canonical_json(config) for config in shown}) == len(values)
    assert shown[6]["x"] == {"class": "tests.unit.base.test_given.Adam", "lr": 0.1}
    one = Opaque()
    two = [distinguished(*in_record({"x": one}), run_id)["x"] for run_id in ("r1", "r2")]
    assert two == [f"<tests.unit.base.test_given.Opaque of {run_id}>" for run_id in ("r1", "r2")]
