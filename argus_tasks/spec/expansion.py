"""Makes the configs of a sweep, in the order that docs/sweep-file.md defines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from argus_tasks.base.errors import did_you_mean
from argus_tasks.base.ids import digest_of
from argus_tasks.base.nested import MISSING, Blocked, copy_tree, flatten, lay, reach
from argus_tasks.spec.document import Path, dotted
from argus_tasks.spec.filters import matches
from argus_tasks.spec.problems import shown
from argus_tasks.spec.random_draws import draw_all
from argus_tasks.spec.search_space import SearchSpace
from argus_tasks.spec.sweep_spec import SweepSpec
from argus_tasks.spec.templates import template_keys

MAX_CONFIGS = 1_000_000
"""The largest number of configs; more are a mistake, and would fill the memory."""


@dataclass(frozen=True)
class Expansion:
    """The configs of a sweep.

    Attributes:
        configs: the configs, in order.
        duplicates: the number of configs that were dropped because an equal one came before;
            counted after `repeats`.
        filtered: the number of configs that the filters took out; counted before `repeats`.
    """

    configs: tuple[dict[str, Any], ...]
    duplicates: int = 0
    filtered: int = 0


def expand(spec: SweepSpec) -> Expansion:
    """Make the configs of a sweep; for a search, the only one is `base`.

    Returns:
        The configs; no two of them share a mapping or a list.

    Raises:
        BadInput: if sections contradict each other; if a filter, a template or `ignore_keys` names
            a key that no config has; if there are no configs, or more than `MAX_CONFIGS`.
    """
    _check_search(spec)
    _check_size(spec)
    _check_one_place(spec)
    points = list(_points(spec))
    kept = [config for config in points if _stays(spec, config)]
    _check_filter_keys(spec, points)
    if not kept:
        raise spec.problem(
            ("include",) if spec.include else ("exclude",),
            f"include and exclude leave none of the {len(points)} configs.",
        )
    unique: dict[str, dict[str, Any]] = {}
    total = 0
    for config in kept:
        for repeat in _repeated(spec, config):
            unique.setdefault(digest_of("", repeat, spec.ignore_keys), repeat)
            total += 1
    configs = tuple(unique.values())
    named = configs
    if spec.search is not None:
        named = (*configs, *SearchSpace(configs[0], spec.search).examples())
    _check_named_keys(spec, named)
    return Expansion(configs, total - len(configs), len(points) - len(kept))


def _points(spec: SweepSpec) -> Iterator[dict[str, Any]]:
    """The combinations of `grid`, `variants` and draws, each on top of `base`."""
    base: dict[str, Any] = {}
    for key, value in spec.base.items():
        _layer(spec, ("base", key))(base, value)
    grid = [_layer(spec, ("grid", key)) for key in spec.grid]
    variants = [
        [(_layer(spec, ("variants", index, key)), value) for key, value in variant.items()]
        for index, variant in enumerate(spec.variants or [{}])
    ]
    draws = [
        [(_layer(spec, ("random", "space", key)), value) for key, value in draw.items()]
        for draw in (draw_all(spec.random) if spec.random else [{}])
    ]
    for combination in product(*spec.grid.values()):
        for variant in variants:
            for draw in draws:
                config = copy_tree(base)
                for put, value in zip(grid, combination, strict=True):
                    put(config, value)
                for put, value in variant:
                    put(config, value)
                for put, value in draw:
                    put(config, value)
                yield config


def _layer(spec: SweepSpec, path: Path) -> Callable[[dict[str, Any], Any], None]:
    """A function that sets the value of a section's key in a config."""
    key = str(path[-1])
    parts = key.split(".")
    if not all(parts):
        raise spec.problem(path, f"{dotted(path)} has an empty part between its dots.")

    def put(config: dict[str, Any], value: Any) -> None:
        try:
            lay(config, parts, value)
        except Blocked as blocked:
            raise spec.problem(
                path,
                f"{dotted(path)} cannot be set: '{blocked.key}' is {shown(blocked.value)}, "
                "not a mapping.",
            ) from None

    return put


def _stays(spec: SweepSpec, config: Mapping[str, Any]) -> bool:
    if spec.include is not None and not matches(config, spec.include):
        return False
    return spec.exclude is None or not matches(config, spec.exclude)


def _repeated(spec: SweepSpec, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if spec.repeats is None:
        yield config
        return
    own = config.get("seed")
    if spec.repeats.seed is not None and "seed" in config:
        raise spec.problem(
            ("repeats",), f"repeats.seed and the configs' own seed {shown(own)} exclude each other."
        )
    if "seed" in config and (isinstance(own, bool) or not isinstance(own, int)):
        raise spec.problem(
            ("repeats",),
            f"repeats counts up from the seed, which is {shown(own)}; expected an integer.",
        )
    first = spec.repeats.seed if spec.repeats.seed is not None else own or 0
    for index in range(spec.repeats.n):
        yield {**(copy_tree(config) if index else config), "seed": first + index}


def _check_search(spec: SweepSpec) -> None:
    if spec.search is None:
        return
    for section in ("grid", "variants", "random", "include", "exclude", "repeats"):
        if getattr(spec, section):
            raise spec.problem(
                (section,), f"{section} and search exclude each other: a search draws the configs."
            )


def _check_size(spec: SweepSpec) -> None:
    size = (
        math.prod(len(values) for values in spec.grid.values())
        * len(spec.variants or [{}])
        * (spec.random.n if spec.random else 1)
        * (spec.repeats.n if spec.repeats else 1)
    )
    if size > MAX_CONFIGS:
        much = f"{size:,}" if size < 10**15 else "more than 10^15"
        raise spec.problem((), f"the sweep has {much} configs; expected at most {MAX_CONFIGS:,}.")


def _check_one_place(spec: SweepSpec) -> None:
    """Refuse a key that varies in two of grid, variants and random: one would hide the other."""
    places: dict[str, Path] = {}
    variants: dict[str, Path] = {}
    for index, variant in enumerate(spec.variants or []):
        for key in flatten(variant):
            variants.setdefault(key, ("variants", index, key))
    sections: tuple[Mapping[str, Path], ...] = (
        {key: ("grid", key) for key in spec.grid},
        variants,
        {key: ("random", "space", key) for key in (spec.random.space if spec.random else ())},
    )
    for section in sections:
        for key, path in section.items():
            if key in places:
                raise spec.problem(
                    path,
                    f"'{key}' is in {places[key][0]} and in {path[0]}; expected it in one only.",
                )
        places |= section


def _check_filter_keys(spec: SweepSpec, points: list[dict[str, Any]]) -> None:
    for section in ("include", "exclude"):
        for index, wanted in enumerate(getattr(spec, section) or []):
            for key in wanted:
                _require_key(spec, key, points, (section, index, key), f"{section} names")


def _check_named_keys(spec: SweepSpec, configs: tuple[dict[str, Any], ...]) -> None:
    for index, key in enumerate(spec.ignore_keys):
        if not any(key in config for config in configs):
            known = dict.fromkeys(name for config in configs for name in config)
            raise spec.problem(
                ("ignore_keys", index),
                f"ignore_keys names '{key}', which no config has at its top."
                f"{did_you_mean(key, known)}",
            )
    for field in ("id", "model", "dataset"):
        for key in template_keys(getattr(spec.job, field) or ""):
            if key != "index":
                _require_key(spec, key, configs, ("job", field), f"job.{field} names")


def _require_key(
    spec: SweepSpec, key: str, configs: Sequence[Mapping[str, Any]], path: Path, who: str
) -> None:
    if any(reach(config, key) is not MISSING for config in configs):
        return
    known = dict.fromkeys(name for config in configs for name in (*flatten(config), *config))
    raise spec.problem(path, f"{who} '{key}', which no config has.{did_you_mean(key, known)}")
