"""Expansion: the order, the counts, and that equal configs are one."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.base.ids import canonical_json
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.sweep_spec import SweepSpec


def configs_of(**mapping: Any) -> list[dict[str, Any]]:
    return list(expand(SweepSpec.from_mapping(mapping, environ={})).configs)


def test_nothing_to_vary_is_one_config() -> None:
    assert configs_of() == [{}]
    assert configs_of(base={"a": 1}) == [{"a": 1}]


def test_the_order() -> None:
    found = configs_of(
        base={"z": 0},
        grid={"a": [1, 2], "b": ["x", "y"]},
        variants=[{"v": 1}, {"v": 2}],
        random={"n": 2, "seed": 1, "space": {"r": {"choice": [0]}, "s": {"uniform": [0, 1]}}},
        repeats=2,
    )
    draws = list(dict.fromkeys(config["s"] for config in found))
    assert len(draws) == 2
    assert found == [
        {"z": 0, "a": a, "b": b, "v": v, "r": 0, "s": s, "seed": seed}
        for a, b, v, s, seed in product([1, 2], ["x", "y"], [1, 2], draws, [0, 1])
    ]
    assert list(found[0]) == ["z", "a", "b", "v", "r", "s", "seed"]


def test_dotted_keys_and_layers() -> None:
    found = configs_of(
        base={"optim": {"name": "adam", "wd": 0}, "optim.lr": 1, "net.deep.x": 1, "k": {"a": 1}},
        grid={"optim.lr": [2, 3]},
        variants=[{"optim": {"name": "sgd"}, "k": 5}, {"net.deep": {"y": {"z.z": 2}}}],
    )
    assert found[0] == {
        "optim": {"name": "sgd", "wd": 0, "lr": 2},
        "net": {"deep": {"x": 1}},
        "k": 5,
    }
    assert found[3] == {
        "optim": {"name": "adam", "wd": 0, "lr": 3},
        "net": {"deep": {"x": 1, "y": {"z.z": 2}}},
        "k": {"a": 1},
    }


def test_no_two_configs_share_anything() -> None:
    found = configs_of(
        base={"layers": [1, {"a": 2}], "m": {"n": []}},
        grid={"x": [{"deep": [0]}], "y": [1, 2]},
        repeats=2,
    )
    before = canonical_json(found[1:])
    found[0]["layers"][1]["a"] = 3
    found[0]["m"]["n"].append(1)
    found[0]["x"]["deep"].append(1)
    assert canonical_json(found[1:]) == before


def test_expanding_twice_gives_the_same_and_leaves_the_spec_alone() -> None:
    spec = SweepSpec.from_mapping(
        {"base": {"m": {"a": [1]}}, "grid": {"m.b": [{"c": 1}, {"c": 2}]}}
    )
    first = expand(spec)
    first.configs[0]["m"]["b"]["c"] = 9
    assert expand(spec).configs == (
        {"m": {"a": [1], "b": {"c": 1}}},
        {"m": {"a": [1], "b": {"c": 2}}},
    )


def test_equal_configs_are_one() -> None:
    done = expand(SweepSpec.from_mapping({"grid": {"a": [1, 1.0, True, "1", 2, 1]}}))
    assert [config["a"] for config in done.configs] == [1, True, "1", 2]
    assert done.duplicates == 2


def test_ignored_keys_make_no_difference() -> None:
    spec = {"grid": {"a": [1, 2], "device": ["cpu", "cuda"]}, "ignore_keys": ["device"]}
    done = expand(SweepSpec.from_mapping(spec))
    assert list(done.configs) == [{"a": 1, "device": "cpu"}, {"a": 2, "device": "cpu"}]
    assert done.duplicates == 2


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        (2, [2]),
        ([1, 3], [1, 3]),
        ("a", ["a"]),
        (None, [None]),
        (True, [True]),
        ({"gt": 2}, [3]),
        ({"ge": 2}, [2, 3]),
        ({"lt": 2}, [1]),
        ({"le": 2}, [1, 2]),
        ({"gt": 1, "lt": 3}, [2]),
        ({"in": ["ab", 1]}, [1, "ab"]),
        ({"not": [1, 2, 3, "a"]}, ["ab", None, True, [1], "absent"]),
        ({"not": 1, "ge": 1}, [2, 3]),
        ({"glob": "a*"}, ["a", "ab"]),
        ({"glob": "[!a]*", "in": ["a"]}, []),
        ({"glob": "A*"}, []),
        ({"in": [[1]]}, [[1]]),
        ([[1.0]], [[1]]),
    ],
)
def test_conditions(condition: Any, left: list[Any]) -> None:
    values = [1, 2, 3, "a", "ab", None, True, [1]]
    variants = [{"k": value} for value in values] + [{"other": 0}]
    always = {"side": "always"}
    spec = {"variants": [*variants, always], "include": [{"k": condition}, always]}
    kept = [config.get("k", "absent") for config in configs_of(**spec)]
    if "absent" in left:  # `always` has no k either
        assert kept[-2:] == ["absent", "absent"]
        kept.pop()
    else:
        assert kept.pop() == "absent"
    assert [(type(value), value) for value in kept] == [(type(value), value) for value in left]
    rest = expand(SweepSpec.from_mapping(spec | {"include": None, "exclude": {"k": condition}}))
    assert rest.filtered == len(left) + ("absent" in left)
    assert len(rest.configs) == len(values) + 2 - rest.filtered


def test_filters_reach_nested_values_and_do_not_see_repeats() -> None:
    done = expand(
        SweepSpec.from_mapping(
            {
                "grid": {"optim.lr": [0.1, 0.01], "seed": [0, 10]},
                "include": {"optim.lr": {"lt": 0.05}},
                "exclude": [{"seed": 1}],
                "repeats": 2,
            }
        )
    )
    assert [config["seed"] for config in done.configs] == [0, 1, 10, 11]
    assert done.filtered == 2


@pytest.mark.parametrize(
    ("sweep", "seeds"),
    [
        ({"repeats": 3}, [0, 1, 2]),
        ({"repeats": 1}, [0]),
        ({"repeats": {"n": 2, "seed": 7}}, [7, 8]),
        ({"repeats": 2, "base": {"seed": 5}}, [5, 6]),
        ({"repeats": 2, "grid": {"seed": [5, 6]}}, [5, 6, 7]),
        ({"base": {"seed": 5}}, [5]),
    ],
)
def test_seeds(sweep: dict[str, Any], seeds: list[int]) -> None:
    assert [config["seed"] for config in configs_of(**sweep)] == seeds


def test_random_draws_are_pinned() -> None:
    """A change here changes the sweeps of everyone who uses `random`."""
    space = {
        "lr": {"log_uniform": [1e-5, 1e-2]},
        "dropout": {"uniform": [0, 0.5]},
        "layers": {"int": [1, 4]},
        "norm": {"choice": ["batch", "layer"]},
    }
    assert configs_of(random={"n": 3, "seed": 1, "space": space}) == PINNED


PINNED = [
    {"lr": 0.000394307, "dropout": 0.309112, "layers": 4, "norm": "batch"},
    {"lr": 0.000752737, "dropout": 0.0947689, "layers": 3, "norm": "batch"},
    {"lr": 2.3799e-05, "dropout": 0.411833, "layers": 4, "norm": "batch"},
]


def test_a_keys_draws_depend_on_the_seed_and_the_key_alone() -> None:
    few = configs_of(random={"n": 3, "space": {"a": {"uniform": [0, 1]}}})
    more = configs_of(random={"n": 5, "space": {"b": {"int": [0, 9]}, "a": {"uniform": [0, 1]}}})
    assert [config["a"] for config in more[:3]] == [config["a"] for config in few]
    other = configs_of(random={"n": 3, "seed": 1, "space": {"a": {"uniform": [0, 1]}}})
    assert [config["a"] for config in other] != [config["a"] for config in few]


def test_draws_keep_within_their_bounds_and_reach_them() -> None:
    space = {
        "u": {"uniform": [-1, 1]},
        "l": {"log_uniform": [0.001, 1000]},
        "i": {"int": [3, 5]},
        "one": {"int": [7, 7]},
        "c": {"choice": [None, "x"]},
    }
    found = configs_of(random={"n": 2000, "seed": 3, "space": space})
    assert len(found) == 2000
    assert all(-1 <= config["u"] <= 1 for config in found)
    assert all(0.001 <= config["l"] <= 1000 for config in found)
    assert {config["i"] for config in found} == {3, 4, 5}
    assert {config["one"] for config in found} == {7}
    assert {config["c"] for config in found} == {None, "x"}
    assert abs(sum(config["u"] for config in found) / 2000) < 0.05
    assert abs(sum(math.log10(config["l"]) for config in found) / 2000) < 0.1
    assert all(float(f"{config['u']:.6g}") == config["u"] for config in found)


def test_another_process_with_another_hash_seed_gives_the_same() -> None:
    code = (
        "from argus_tasks.spec.expansion import expand\n"
        "from argus_tasks.spec.sweep_spec import SweepSpec\n"
        "from argus_tasks.base.ids import canonical_json\n"
        "print(canonical_json(expand(SweepSpec.from_mapping({'grid': {'b': ['x', 'y'], 'a': [1]},"
        "'random': {'n': 3, 'space': {'r': {'uniform': [0, 1]}}}})).configs))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


keys = st.sampled_from(["a", "b", "c.x", "c.y", "d"])
scalars = st.one_of(
    st.integers(-3, 3), st.booleans(), st.none(), st.sampled_from(["x", "y", "1"]), st.floats(-1, 1)
)
grids = st.dictionaries(keys, st.lists(scalars, min_size=1, max_size=4), max_size=4)


@given(grid=grids, variants=st.integers(1, 3), repeats=st.integers(0, 3), draws=st.integers(0, 3))
def test_counts_add_up(grid: dict[str, list[Any]], variants: int, repeats: int, draws: int) -> None:
    mapping: dict[str, Any] = {"grid": grid, "variants": [{"v": n} for n in range(variants)]}
    if repeats:
        mapping["repeats"] = repeats
    if draws:
        mapping["random"] = {"n": draws, "space": {"r": {"int": [0, 1]}}}
    spec = SweepSpec.from_mapping(mapping)
    done = expand(spec)
    points = math.prod(map(len, grid.values())) * variants * max(draws, 1)
    assert len(done.configs) + done.duplicates == points * max(repeats, 1)
    assert done.filtered == 0
    texts = [canonical_json(config) for config in done.configs]
    assert len(set(texts)) == len(texts)
    assert expand(spec).configs == done.configs
    distinct = math.prod(len({canonical_json(v) for v in values}) for values in grid.values())
    if not draws:
        assert len(done.configs) == distinct * variants * max(repeats, 1)
    # in order: place in the grid's values, the first key slowest
    places = [
        tuple(
            [canonical_json(v) for v in values].index(canonical_json(value_at(config, key)))
            for key, values in grid.items()
        )
        for config in done.configs
    ]
    assert places == sorted(places)


def value_at(config: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


@given(
    grid=grids, wanted=st.dictionaries(keys, st.lists(scalars, min_size=1, max_size=2), max_size=2)
)
def test_include_and_exclude_part_the_configs(
    grid: dict[str, list[Any]], wanted: dict[str, list[Any]]
) -> None:
    wanted = {key: values for key, values in wanted.items() if key in grid}
    grid = {**grid, "more": [0]}
    everything = {canonical_json(config) for config in configs_of(grid=grid)}
    extra = {"variants": [{"side": False}, {"side": True}]}
    inside = configs_of(grid=grid, **extra, include=[wanted, {"side": True}])
    outside = configs_of(grid=grid, **extra, exclude={**wanted, "side": False})
    plain = [
        {canonical_json({k: v for k, v in config.items() if k != "side"}) for config in part}
        for part in (
            [config for config in inside if not config["side"]],
            [config for config in outside if not config["side"]],
        )
    ]
    assert plain[0] | plain[1] == everything
    assert not plain[0] & plain[1]
