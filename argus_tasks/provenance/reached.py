"""What a function of a notebook reaches: the cells that define it, and the plain values it uses."""

from __future__ import annotations

import inspect
import linecache
import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from argus_tasks.provenance.recording.content import sha256_hex

_MOST = 2_000
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_LARGEST_VALUE = 100_000


@dataclass(frozen=True, slots=True)
class Reached:
    """A thing that a function reaches and that no file defines.

    Attributes:
        name: `cell/` and its qualified name.
        source: the text of the whole cell that defines it; of a value, what it is.
    """

    name: str
    source: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the source."""
        return sha256_hex(self.source)


def reached_cells(function: object) -> tuple[Reached, ...]:
    """What a function reaches by its names, by the names of those, and so on, as far as it is
    defined in cells. What lies in files is left to the list of files."""
    found: dict[str, Reached] = {}
    todo: list[tuple[str, object]] = [(getattr(function, "__qualname__", "function"), function)]
    seen: set[int] = set()
    while todo and len(seen) < _MOST:
        name, value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        functions = list(_functions_of(value))
        if not functions:
            text = _text_of(value)
            if text is not None:
                found[f"cell/{name}"] = Reached(f"cell/{name}", text)
            continue
        for each in functions:
            source = _cell_source(each.__code__.co_filename)
            if source is not None:
                found[f"cell/{name}"] = Reached(f"cell/{name}", source)
                todo += _uses(each)
    return tuple(found[name] for name in sorted(found))


def _functions_of(value: object) -> Iterator[FunctionType]:
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, FunctionType):
        yield value
    elif inspect.isclass(value):
        for member in vars(value).values():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(member, FunctionType):
                yield member
    elif hasattr(value, "func"):  # functools.partial
        yield from _functions_of(value.func)


def _uses(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _cell_source(file: str) -> bytes | None:
    """The text of a cell, which only `linecache` knows; None for what is a file."""
    if os.path.exists(file):
        return None
    text = "".join(linecache.getlines(file))
    return text.encode("utf-8", "surrogatepass") if text else None


def _text_of(value: object) -> bytes | None:
    if isinstance(value, _PLAIN):
        return repr(value).encode("utf-8", "surrogatepass")[:_LARGEST_VALUE]
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_text_of(item) for item in value]
        if any(part is None for part in parts):
            return None
        texts = [part for part in parts if part is not None]
        if isinstance(value, set | frozenset):
            texts.sort()
        return b",".join([type(value).__name__.encode(), *texts])[:_LARGEST_VALUE]
    if isinstance(value, dict):
        return _text_of([*value.keys(), *value.values()])
    return None
