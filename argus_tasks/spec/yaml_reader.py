"""Reads YAML as docs/sweep-file.md defines it, and remembers the line of each value.

This module builds the values from the node graph. No constructor of the YAML library runs, so no
tag can create an object.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.document import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_REPEATED,
    TOO_DEEP,
    Document,
    Path,
    Problem,
)
from argus_tasks.spec.interpolation import fill_in

_TAG = "tag:yaml.org,2002:"
_STR, _NULL, _BOOL, _INT, _FLOAT, _MERGE = (
    _TAG + name for name in ("str", "null", "bool", "int", "float", "merge")
)
_TRUE = frozenset({"yes", "true", "on"})


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The library's parser with the sweep file's rules for unquoted values."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the library's own attribute


def _scalars(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), [*first] or [""])


_scalars(_NULL, r"~|null|Null|NULL", "~nN")
_scalars(_NULL, r"", "")
_scalars(
    _BOOL,
    "|".join(
        f"{word}|{word.title()}|{word.upper()}"
        for word in ("true", "false", "yes", "no", "on", "off")
    ),
    "tTfFyYnNoO",
)
_scalars(_INT, r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+)", "-+0123456789")
_scalars(
    _FLOAT,
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+.0123456789",
)
_scalars(_MERGE, r"<<", "<")


def read_yaml(text: str, label: str, environ: Mapping[str, str]) -> Document:
    """Parse YAML text.

    Raises:
        BadInput: if the text is not YAML, or its aliases expand to too many values.
    """
    try:
        _check_depth(text, label)
        loader = _Loader(text)
        node = loader.get_single_node()
        builder = _Builder(loader, environ)
        value = None if node is None else builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{label}:{mark.line + 1}" if mark else label
        context = f" ({error.context})" if error.context else ""
        raise BadInput(f"{where}: not YAML: {error.problem}{context}.") from None
    except TooMuch as error:
        raise BadInput(f"{label}: {error}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{label}: not YAML: {' '.join(str(error).split())}.") from None
    return Document(value, label, builder.lines, tuple(builder.problems))


def _check_depth(text: str, label: str) -> None:
    """Refuse deep nesting before the library's composer sees it, which would crash the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent) and event.start_mark:
            depth += 1
            if depth > MAX_DEPTH + 1:
                raise BadInput(f"{label}:{event.start_mark.line + 1}: {TOO_DEEP}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class TooMuch(Exception):
    """The aliases of a document expand to more values than the memory may hold."""


class _Builder:
    def __init__(self, loader: Any, environ: Mapping[str, str]) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._loader = loader
        self._environ = environ
        self._above: set[int] = set()
        self._built: set[int] = set()
        self._repeated = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._count(node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if len(path) > MAX_DEPTH:
            self.problems.append(Problem(path, TOO_DEEP))
            return None
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != _TAG + kind:
            return self._refuse_tag(node, path)
        if id(node) in self._above:
            self.problems.append(Problem(path, "an alias refers to what it stands in."))
            return None
        self._above.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._above.discard(id(node))

    def _count(self, node: yaml.Node) -> None:
        self._repeated += id(node) in self._built
        self._built.add(id(node))
        if self._repeated > MAX_REPEATED:
            raise TooMuch(f"its aliases stand for more than {MAX_REPEATED:,} values.")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                self._merge(value_node, path, merged)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(path, "a key is a list or a mapping; expected text."))
                continue
            name, line = key_node.value, key_node.start_mark.line + 1
            below = (*path, name)
            if name in own:
                sentence = f"the key '{name}' is given twice, first in line {self.lines[below]}."
                self.problems.append(Problem(below, sentence))
            self.lines[below] = line
            own[name] = self.build(value_node, below)
        return {**merged, **own}

    def _merge(self, node: yaml.Node, path: Path, merged: dict[str, Any]) -> None:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            value = self.build(source, path) if isinstance(source, yaml.MappingNode) else None
            if not isinstance(value, dict):
                sentence = "'<<' takes a mapping or a list of mappings."
                self.problems.append(Problem(path, sentence))
                continue
            for key, item in value.items():
                merged.setdefault(key, item)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        tag, text = node.tag, node.value
        if "${" in text:
            text = fill_in(text, self._environ, path, self.problems)
            if tag == _STR and not node.style:
                tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))
        if tag in (_STR, _MERGE):
            return text
        if tag == _NULL:
            return None
        if tag == _BOOL:
            return text.lower() in _TRUE
        if tag not in (_INT, _FLOAT):
            return self._refuse_tag(node, path)
        try:
            number = _integer(text) if tag == _INT else _float(text)
        except ValueError:
            sentence = f"'{text[:40]}' cannot be read as a number; quote it if it is text."
            self.problems.append(Problem(path, sentence))
            return None
        return number

    def _refuse_tag(self, node: yaml.Node, path: Path) -> None:
        tag = node.tag.replace(_TAG, "!!")
        self.problems.append(Problem(path, f"the tag '{tag}' is not allowed in a sweep file."))


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    digits = plain.lstrip("+-").lower()
    if len(digits) > MAX_DIGITS:
        raise ValueError
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0o") else 10
    return int(plain, base)


def _float(text: str) -> float:
    plain = text.replace("_", "").lower()
    sign = -1.0 if plain.startswith("-") else 1.0
    word = plain.lstrip("+-")
    if word in (".inf", ".nan"):
        return sign * float(word[1:])
    number = float(plain)
    if math.isinf(number):  # a commit id such as 12e4567, or a mistake; never infinity
        raise ValueError
    return number
