"""Convert any Python value to JSON that every reader can parse: without NaN."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH = 40
TOO_DEEP = "<too deep>"
CIRCLE = "<refers to itself>"
UNKNOWN = "unknown "
"""How the kind of a value begins that cannot be told from others: its text is only an address."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LONGEST_SEQUENCE = 100_000
"""The length of the longest sequence but list and tuple that becomes a list: ranges may be huge."""
_PLAIN = frozenset({type(None), bool, int})


def to_jsonable(value: Any, nonfinite: dict[str, str] | None = None, path: str = "") -> Json:
    """Convert a value to JSON. Never raises.

    Numbers that are not finite become null. Any mapping becomes an object, as do dataclasses and
    pydantic models with their fields; any sequence becomes a list. numpy and torch scalars and
    arrays become numbers and lists, enums their value, paths POSIX text, classes and functions
    their import path, dates ISO 8601, sets sorted lists, bytes base64. Another object becomes its
    `str`; where `str` raises, a text that says so.

    Args:
        value: the value.
        nonfinite: where given, the numbers that are not finite are added to it as text, by their
            dotted path: `{"val.loss": "nan"}`.
        path: the dotted path of the value itself.
    """
    return _convert(value, nonfinite, path, 0, set())


def _convert(
    value: Any, nonfinite: dict[str, str] | None, path: str, depth: int, above: set[int]
) -> Json:
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool or kind is int:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return _float(value, nonfinite, path)
    if depth >= MAX_DEPTH or id(value) in above:
        return TOO_DEEP if depth >= MAX_DEPTH else CIRCLE
    above.add(id(value))
    try:
        return _compound(value, nonfinite, path, depth + 1, above)
    except Exception as error:  # noqa: BLE001 - a user's object may raise anything
        return f"<unreadable {kind.__name__}: {type(error).__name__}>"
    finally:
        above.discard(id(value))


def _compound(
    value: Any, nonfinite: dict[str, str] | None, path: str, depth: int, above: set[int]
) -> Json:
    if type(value) is dict:  # the usual case; most of its values are JSON already
        return {
            (text := key if type(key) is str and key.isascii() else key_text(key)): (
                item
                if (of := type(item)) in _PLAIN or (of is str and item.isascii())
                else _convert(item, nonfinite, f"{path}.{text}" if path else text, depth, above)
            )
            for key, item in value.items()
        }
    value, _ = simplify(value)
    if isinstance(value, Mapping):
        return {
            (text := key_text(key)): _convert(
                item, nonfinite, f"{path}.{text}" if path else text, depth, above
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _convert(item, nonfinite, f"{path}.{index}" if path else str(index), depth, above)
            for index, item in enumerate(value)
        ]
    return _convert(value, nonfinite, path, depth, above)


def simplify(value: Any) -> tuple[Any, str | None]:
    """A value one step nearer to JSON, and what this step loses.

    Returns:
        A mapping, list, tuple, str, bool, int, float or None, whose items are as they were; and the
        kind of the value where JSON does not give it back: `tuple`, `path`, or the import path of
        its class. A kind that begins with `UNKNOWN` says that the text is only an address.

    Raises:
        Exception: whatever the value's own methods raise.
    """
    kind = type(value)
    if isinstance(value, Enum):
        return value.value, import_path(kind)
    if value is None or isinstance(value, Mapping | list | bool):
        return value, None
    if isinstance(value, tuple):
        return value, "tuple" if kind is tuple else import_path(kind)
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value), None
    if isinstance(value, PurePath):
        return value.as_posix(), "path" if kind is type(Path()) else import_path(kind)
    if isinstance(value, type | FunctionType | BuiltinFunctionType) and (path := _leads_to(value)):
        return path, "class" if isinstance(value, type) else "function"
    fields = fields_of(value)
    if fields is not None:
        return fields, import_path(kind)
    for method in ("tolist", "item"):  # numpy and torch, arrays and scalars, without importing them
        convert = getattr(value, method, None)
        if callable(convert) and hasattr(value, "dtype"):
            plain = convert()
            return plain, import_path(kind) if isinstance(plain, list) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii"), import_path(kind)
    if isinstance(value, Sequence) and len(value) <= _LONGEST_SEQUENCE:
        return list(value), None
    plain = _as_text(value)
    unknown = isinstance(plain, str) and _ADDRESS.search(plain)
    return plain, f"{UNKNOWN}{import_path(kind)}" if unknown else import_path(kind)


def _as_text(value: Any) -> Any:
    """Of a value that is neither mapping nor sequence: what JSON has instead."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Set):
        items = [(to_jsonable(item), item) for item in value]
        items.sort(key=lambda pair: (type(pair[0]).__name__, str(pair[0])))
        return [item for _, item in items]
    return str(value)


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass's or pydantic model's instance; None for another value."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    names = getattr(type(value), "model_fields", None)
    if isinstance(names, dict) and hasattr(value, "model_dump"):
        return {name: getattr(value, name) for name in names} | (value.model_extra or {})
    return None


def import_path(kind: Any) -> str:
    """The import path of a class or function: `package.module:Name`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def _leads_to(value: Any) -> str | None:
    """The import path of a class or function; None where it has none: of a lambda, say."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "<")
    bound = isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType)
    return None if not module or "<" in name or bound else f"{module}:{name}"


def key_text(key: Any) -> str:
    """The key of a mapping as text."""
    if isinstance(key, str):
        return _text(key)
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, Enum):
        return key_text(key.value)
    return _text(str(key))


def _float(value: float, nonfinite: dict[str, str] | None, path: str) -> float | None:
    if math.isfinite(value):
        return value
    if nonfinite is not None:
        nonfinite[path] = repr(value)
    return None


def _text(value: str) -> str:
    """The text with lone surrogates replaced, which UTF-8 cannot encode."""
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
