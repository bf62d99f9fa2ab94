"""Makes error messages for people from what pydantic finds wrong with a sweep file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from argus_tasks.base.errors import did_you_mean
from argus_tasks.base.redact import redact
from argus_tasks.spec.document import Path, Problem, dotted
from argus_tasks.spec.value_types import Expected

_Table: TypeAlias = Mapping[tuple[str, ...], str]


@cache
def expected_values(model: type[BaseModel]) -> dict[tuple[str, ...], str]:
    """What is expected at each path of a sweep file, in words; `*` stands for any key or index."""
    found: dict[tuple[str, ...], str] = {}
    _collect(model, (), (), found)
    del found[()]
    return found


def _collect(
    kind: Any, metadata: Iterable[Any], path: tuple[str, ...], found: dict[tuple[str, ...], str]
) -> None:
    """Add what a type expects at a path, and at the paths below it."""
    words = [each.words for each in metadata if isinstance(each, Expected)]
    if words:
        found.setdefault(path, words[-1])
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        _collect(inner[0], inner[1:], path, found)
    elif origin in (Union, UnionType):
        for arm in inner:
            if arm is not type(None):
                _collect(arm, (), path, found)
    elif origin is Literal:
        found.setdefault(path, f"one of {', '.join(map(str, inner))}")
    elif origin in (list, dict):
        if _plain(inner[-1]) not in (str, int, float):  # else the list's own words suffice
            _collect(inner[-1], (), (*path, "*"), found)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        names = [field.alias or name for name, field in kind.model_fields.items()]
        found.setdefault(path, f"a mapping of {', '.join(names[:-1])} and {names[-1]}")
        for name, field in zip(names, kind.model_fields.values(), strict=True):
            _collect(field.annotation, field.metadata, (*path, name), found)


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def problems_of(
    error: ValidationError, given: Mapping[str, Any], model: type[BaseModel]
) -> list[Problem]:
    """Make one problem for each wrong value.

    Args:
        error: what pydantic has found.
        given: what was given to the model; the paths of the problems lead into it.
        model: the model.
    """
    table = expected_values(model)
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False, include_context=False):
        location: Path = detail["loc"]
        if detail["type"] == "extra_forbidden":
            problem = _unknown_key(location, given, table)
        elif detail["type"] == "missing":
            path = (*given_path(location[:-1], given), location[-1])
            problem = Problem(
                path, f"{dotted(path)} is missing; expected {_expected(location, table)[1]}."
            )
        else:
            problem = _wrong_value(location, given, table)
        found.setdefault(problem.path, problem)
    return list(found.values())


def _wrong_value(location: Path, given: Mapping[str, Any], table: _Table) -> Problem:
    depth, expected = _expected(location, table)
    path = given_path(location[:depth], given)
    value = _at(path, given)
    _, choice, words = expected.partition("one of ")
    hint = did_you_mean(value, words.split(", ")) if choice and isinstance(value, str) else ""
    return Problem(path, f"{dotted(path)} is {shown(value)}; expected {expected}.{hint}")


def _unknown_key(location: Path, given: Mapping[str, Any], table: _Table) -> Problem:
    above = given_path(location[:-1], given)
    key = str(location[-1])
    names = _names(tuple("*" if isinstance(p, int) else p for p in location[:-1]), table)
    where = f"in {dotted(above)}" if above else "here"
    homes = [pattern[0] for pattern in table if len(pattern) == 2 and pattern[1] == key]
    if not above and homes:
        hint = f" It belongs in '{homes[0]}'."
    else:
        hint = did_you_mean(key, names) or f" There are {', '.join(names)}."
    return Problem((*above, key), f"'{key}' is not a key {where}.{hint}")


def _names(section: tuple[str, ...], table: _Table) -> list[str]:
    """The keys of a section."""
    return [
        pattern[-1]
        for pattern in table
        if len(pattern) == len(section) + 1
        and pattern[-1] != "*"
        and all(_fits(want, part) for want, part in zip(pattern, section, strict=False))
    ]


def _expected(location: Path, table: _Table) -> tuple[int, str]:
    """The length of the longest known part of the location, and what is expected there."""
    for depth in range(len(location), 0, -1):
        for pattern, expected in table.items():
            if len(pattern) == depth and all(map(_fits, pattern, location)):
                return depth, expected
    return 0, "a sweep file"


def _fits(want: str, part: str | int) -> bool:
    return want == "*" or want == part


def given_path(location: Path, given: Any) -> Path:
    """The part of the location that exists in what was given.

    Short forms (a mapping for a list of one, a number for a mapping) are checked in their long
    form, so a location can have steps that the file does not have.
    """
    path: list[str | int] = []
    at = given
    for part in location:
        if isinstance(at, list):
            inside = part in range(len(at))
        else:
            inside = isinstance(at, Mapping) and part in at
        if inside:
            at = at[part]
            path.append(part)
        elif not (isinstance(at, Mapping) and isinstance(part, int)):
            break
    return tuple(path)


def _at(path: Path, given: Any) -> Any:
    for part in path:
        given = given[part]
    return given


def shown(value: Any) -> str:
    """The value as it would be written in the file, shortened if it is long, without secrets."""
    text = redact(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else f"{text[:57]}..."
