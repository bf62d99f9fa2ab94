"""The options of a sweep by one flat name each, as calls, flows and the command line use them.

A key of a section keeps its name, but for `code.include` and `code.exclude`, whose names filters
have: they are `code_include` and `code_exclude`. The keys that say what to run,
and with which configs, are not options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import Parameter
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.spec.problems import problems_of
from argus_tasks.spec.sweep_spec import SweepSpec

P = ParamSpec("P")
R = TypeVar("R")

SECTIONS = ("execution", "retry", "stop", "code")
_NOT_OPTIONS = (
    *("experiment", "command", "cwd", "shell"),
    *("base", "grid", "variants", "random", "include", "exclude", "repeats"),
    # in a call, `metadata` may be a RunMetadata object, which has more fields than the section
    "metadata",
)
_OTHER_NAMES = {"trackers": "tracker_specs"}
_INNER_NAMES = {("code", "include"): "code_include", ("code", "exclude"): "code_exclude"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: its name as a parameter of a call.
        section: the section of the sweep file that contains its key; empty at the top level.
        key: its key in that section.
        field: its type, default and description.
    """

    name: str
    section: str
    key: str
    field: FieldInfo

    @property
    def annotation(self) -> Any:
        """The type of its values, with their constraints."""
        return self.field.rebuild_annotation()


@cache
def options() -> dict[str, Option]:
    """All options by their names, in the order of the sweep file."""
    found: dict[str, Option] = {}
    for key, field in SweepSpec.model_fields.items():
        if key in SECTIONS:
            for inner, inner_field in _model(key).model_fields.items():
                name = name_of_option(key, inner)
                found[name] = Option(name, key, inner, inner_field)
        elif key not in _NOT_OPTIONS:
            name = _OTHER_NAMES.get(key, key)
            found[name] = Option(name, "", key, field)
    return found


def name_of_option(section: str, key: str) -> str:
    """The name of the option that is this key of a section."""
    return _INNER_NAMES.get((section, key), key)


def override(spec: SweepSpec, given: Mapping[str, Any]) -> SweepSpec:
    """Replace options of a sweep.

    Args:
        spec: the sweep.
        given: values by the names of the options; None keeps the sweep's own value.

    Returns:
        A changed copy.

    Raises:
        BadInput: for an unknown name, and with one sentence for each wrong value.
    """
    known = options()
    for name in given.keys() - known.keys():
        raise BadInput(f"'{name}' is not an option of a sweep.{did_you_mean(name, list(known))}")
    asked = {known[name]: value for name, value in given.items() if value is not None}
    sections = {option.section for option in asked}
    update: dict[str, Any] = {}
    problems: list[str] = []
    for section in [name for name in ("", *SECTIONS) if name in sections]:
        wanted = {
            each.key: _plain(value) for each, value in asked.items() if each.section == section
        }
        model = _model(section) if section else SweepSpec
        said = getattr(spec, section).model_dump(exclude_unset=True) if section else {}
        try:
            checked = model.model_validate(said | wanted)
        except ValidationError as error:
            problems += [each.sentence for each in problems_of(error, said | wanted, model)]
            continue
        update |= {section: checked} if section else {key: getattr(checked, key) for key in wanted}
    if problems:
        raise BadInput("\n".join(problems))
    return spec.model_copy(update=update)


def takes_options(function: Callable[P, R]) -> Callable[P, R]:
    """Show each option as a parameter of a function that takes `**options`, and describe it in the
    docstring.

    Prefect makes the form of a deployment, and its checks, from a function's signature and
    docstring.
    """
    shown = inspect.signature(function, eval_str=True)
    own = [each for each in shown.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    added = [
        Parameter(
            option.name,
            Parameter.KEYWORD_ONLY,
            default=None,
            annotation=option.annotation | None,
        )
        for option in options().values()
    ]
    function.__signature__ = shown.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    lines = [f"    {option.name}: {option.field.description}" for option in options().values()]
    function.__doc__ = "\n".join([inspect.getdoc(function) or "", *lines])
    return function


def _model(section: str) -> type[BaseModel]:
    model = SweepSpec.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def _plain(value: Any) -> Any:
    """The value as a sweep file would contain it: with lists for tuples, and dicts for other
    mappings."""
    if isinstance(value, BaseModel | str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value
