"""Convert any Python value to JSON that every reader can parse: without NaN."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Set
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeAlias
from uuid import UUID

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_MAX_DEPTH = 40
_PLAIN = frozenset({type(None), bool, int})


def to_jsonable(value: Any, nonfinite: dict[str, str] | None = None, path: str = "") -> Json:
    """Convert a value to JSON. Never raises.

    Numbers that are not finite become null. numpy and torch scalars and arrays become numbers and
    lists, paths POSIX text, dates ISO 8601, sets sorted lists, bytes base64. Another object becomes
    its `str`; where `str` raises, a text that says so.

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
    if depth >= _MAX_DEPTH or id(value) in above:
        return "<too deep>" if depth >= _MAX_DEPTH else "<refers to itself>"
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
    kind = type(value)
    if kind is dict:  # the usual case; most of its values are JSON already
        return {
            (text := key if type(key) is str and key.isascii() else key_text(key)): (
                item
                if (of := type(item)) in _PLAIN or (of is str and item.isascii())
                else _convert(item, nonfinite, f"{path}.{text}" if path else text, depth, above)
            )
            for key, item in value.items()
        }
    if kind is not list and isinstance(value, Mapping):
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
    if isinstance(value, Enum):
        return _convert(value.value, nonfinite, path, depth, above)
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _float(float(value), nonfinite, path)
    if isinstance(value, PurePath):
        return _text(value.as_posix())
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return _float(float(value), nonfinite, path)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, Set):
        items = [_convert(item, nonfinite, path, depth, above) for item in value]
        return sorted(items, key=lambda item: (type(item).__name__, str(item)))
    if is_dataclass(value) and not isinstance(value, type):
        return _convert(asdict(value), nonfinite, path, depth, above)
    for method in ("tolist", "item"):  # numpy and torch, arrays and scalars, without importing them
        convert = getattr(value, method, None)
        if callable(convert) and hasattr(value, "dtype"):
            return _convert(convert(), nonfinite, path, depth, above)
    return _text(str(value))


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
