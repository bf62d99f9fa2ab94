"""The options of a sweep as flags: `--max-attempts 3`, made from the model that declares them."""

from __future__ import annotations

import argparse
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from argus_tasks.spec.options import Option

_PREFIX = "option_"


def add_option_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag to the command for each option, but only when this command is the one that is
    called: loading the model takes time that other commands need not spend."""
    parse = parser.parse_known_args
    flags: list[str] = []

    def with_flags(*given: Any, **named: Any) -> Any:
        if not flags:
            flags.extend(_add_all(parser))
        return parse(*given, **named)

    parser.parse_known_args = with_flags  # type: ignore[method-assign]


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options given on the command line, by name; `spec.options.override` checks them."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in vars(args).items()
        if name.startswith(_PREFIX) and value is not None
    }


def _add_all(parser: argparse.ArgumentParser) -> list[str]:
    from argus_tasks.spec.options import options

    added = []
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in options().values():
        kinds = _kinds(option.annotation)
        if not kinds & {str, int, float, bool, list}:
            continue  # a mapping: for the sweep file
        group = groups.get(option.section)
        if group is None:
            title = option.section or "the sweep"
            group = groups[option.section] = parser.add_argument_group(title)
        flag = f"--{option.name.replace('_', '-')}"
        group.add_argument(flag, **_described(option, kinds))
        added.append(option.name)
    return added


def _described(option: Option, kinds: set[type]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "dest": _PREFIX + option.name,
        "help": str(option.field.description).replace("%", "%%"),
        "default": None,
    }
    if kinds == {bool}:
        return described | {"action": argparse.BooleanOptionalAction}
    choices = _choices(option.annotation)
    metavar = f"{{{','.join(choices)}}}" if choices else _metavar(option, kinds)
    return described | {"metavar": metavar, "type": lambda text: _value(text, kinds)}


def _metavar(option: Option, kinds: set[type]) -> str:
    if option.key.endswith("_s"):
        return "SECONDS"
    if str in kinds and kinds & {int, float}:
        return "VALUE"
    if list in kinds:
        return "A,B"
    return "N" if int in kinds else "NUMBER" if float in kinds else "TEXT"


def _value(text: str, kinds: set[type]) -> Any:
    """The value that a sweep file would have for this text; the model checks it."""
    if list in kinds and (kinds == {list, str} or "," in text):
        return [_value(part.strip(), kinds - {list}) for part in text.split(",")]
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _kinds(annotation: Any) -> set[type]:
    """The plain types that an option takes."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return {kind for arm in get_args(annotation) for kind in _kinds(arm)} - {type(None)}
    if origin is list:
        inner = _kinds(get_args(annotation)[0])
        return {list, *inner} if inner else set()
    if origin is Literal:
        return {str}
    return {annotation} if annotation in (str, int, float, bool, type(None)) else set()


def _choices(annotation: Any) -> tuple[str, ...]:
    """The values of an option that takes only a few; empty for any other option."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    return get_args(annotation) if get_origin(annotation) is Literal else ()
