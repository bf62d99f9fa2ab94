"""What JSON does not give back of a config, recorded beside it.

A record of a config has two parts: its JSON, and `given`, the kind of each value that reads
otherwise in JSON, by its JSON pointer: `{"/clip": "inf", "/sizes": "tuple"}`. Both together give
back the config, or say which value they cannot give back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from argus_tasks.base.jsonable import (
    CIRCLE,
    MAX_DEPTH,
    TOO_DEEP,
    UNKNOWN,
    fields_of,
    import_path,
    key_text,
    simplify,
)
from argus_tasks.base.nested import copy_tree

KEYS = "keys that are not text"
ONE_TEXT = "keys that are one text in JSON"
_SURROGATES = "text that UTF-8 cannot represent"
NONFINITE = ("nan", "inf", "-inf")
_RESTORED = (*NONFINITE, "tuple", "path")


def config_of(value: Any) -> dict[str, Any] | None:
    """A mapping, dataclass or pydantic model as a config, with the dataclasses and models in it as
    mappings; None for another value. A mapping's own values stay as they are."""
    found = fields_of(value)
    if found is None:
        return dict(value) if isinstance(value, Mapping) else None
    return {key: _unfolded(item) for key, item in found.items()}


def _unfolded(value: Any) -> Any:
    if type(value) is dict:
        return {key: _unfolded(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_unfolded, value))
    found = fields_of(value)
    return value if found is None else _unfolded(found)


def given_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The kinds of the values that JSON does not give back, by JSON pointer; most configs have
    none."""
    found: dict[str, str] = {}
    _look(config, "", found, set())
    return found


def _look(value: Any, pointer: str, found: dict[str, str], above: set[int]) -> None:
    kind = type(value)
    if _is_plain(value):
        return
    if kind is str:
        if not _is_text(value):
            found[pointer] = _SURROGATES
        return
    if kind is float:
        found[pointer] = repr(value)
        return
    if len(above) >= MAX_DEPTH or id(value) in above:
        found[pointer] = f"{UNKNOWN}{TOO_DEEP if len(above) >= MAX_DEPTH else CIRCLE}"
        return
    above.add(id(value))
    try:
        plain, lost = (value, None) if kind is dict or kind is list else simplify(value)
        if lost is not None:
            found[pointer] = lost
        if isinstance(plain, Mapping):
            if not all(map(_is_text, plain)):
                texts = {key_text(key) for key in plain}
                found[pointer] = KEYS if len(texts) == len(plain) else ONE_TEXT
            for key, item in plain.items():
                if not _is_plain(item):
                    _look(item, f"{pointer}/{_escaped(key)}", found, above)
        elif isinstance(plain, list | tuple):
            for index, item in enumerate(plain):
                if not _is_plain(item):
                    _look(item, f"{pointer}/{index}", found, above)
        elif lost is None:
            _look(plain, pointer, found, above)
    except Exception:  # noqa: BLE001 - a user's object may raise anything
        found[pointer] = f"{UNKNOWN}{import_path(kind)}"
    finally:
        above.discard(id(value))


def _is_plain(value: Any) -> bool:
    """Whether it is one of the commonest values, which JSON gives back."""
    kind = type(value)
    return (
        kind is int
        or (kind is float and value - value == 0)
        or (kind is str and value.isascii())
        or kind is bool
        or value is None
    )


def _is_text(value: Any) -> bool:
    """Whether it is a text without lone surrogates."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def unknown_in(given: Mapping[str, str], ignore: Collection[str] = ()) -> str | None:
    """The first value of a config that cannot be told from others, in a phrase; None without one.

    Args:
        given: what `given_of` says of the config.
        ignore: top-level keys of the config that do not count.
    """
    for pointer, kind in given.items():
        if kind.startswith(UNKNOWN) and _parts(pointer)[0] not in ignore:
            return f"{dotted(pointer)} {_phrase(kind)}"
    return None


def lost_of(given: Mapping[str, str]) -> list[str]:
    """What of the config cannot be given back, a phrase each: `class_weight has keys that are not
    text`."""
    found = []
    within = "~"  # no pointer begins so
    for pointer, kind in given.items():  # a value stands before what is in it
        if kind not in _RESTORED and not pointer.startswith(within):
            within = f"{pointer}/"
            found.append(f"{dotted(pointer)} {_phrase(kind)}")
    return found


def dotted(pointer: str) -> str:
    """A JSON pointer as people write it: `optim.lr`."""
    return ".".join(_parts(pointer)) or "the config"


def restored(plain: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The config that was given, from the two parts of its record, of which nothing is lost.

    Where they do not fit, the config differs from the one that was given, and so does its digest.
    """
    config: dict[str, Any] = copy_tree(dict(plain))
    for pointer in sorted(given, key=lambda each: -each.count("/")):  # what is within comes first
        _change(config, pointer, partial(_restored, given[pointer]))
    return config


def distinguished(
    plain: Mapping[str, Any], given: Mapping[str, str], run_id: str
) -> dict[str, Any]:
    """A recorded config for a table: what JSON makes equal differs.

    Numbers that are not finite are numbers again, an instance of a class has `class` among its
    fields, and what is not known to be the same in two runs has the run's id.
    """
    config: dict[str, Any] = copy_tree(dict(plain))
    for pointer, kind in given.items():
        _change(config, pointer, partial(_distinguished, kind, run_id))
    return config


def _restored(kind: str, value: Any) -> Any:
    if kind in NONFINITE:
        return float(kind)
    return tuple(value) if kind == "tuple" else Path(value)


def _distinguished(kind: str, run_id: str, value: Any) -> Any:
    if kind in NONFINITE:
        return float(kind)
    if kind.startswith(UNKNOWN):
        return f"<{_name(kind).strip('<>')} of {run_id}>"
    return {"class": _name(kind), **value} if isinstance(value, dict) and ":" in kind else value


def _change(config: dict[str, Any], pointer: str, change: Callable[[Any], Any]) -> None:
    with suppress(LookupError, TypeError, ValueError):
        *above, last = _parts(pointer)
        at: Any = config
        for part in above:
            at = at[int(part)] if isinstance(at, list) else at[part]
        key = int(last) if isinstance(at, list) else last
        at[key] = change(at[key])


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _escaped(key: Any) -> str:
    return key_text(key).replace("~", "~0").replace("/", "~1")


def _phrase(kind: str) -> str:
    if kind in (KEYS, ONE_TEXT):
        return f"has {kind}"
    if kind == _SURROGATES:
        return f"is {kind}"
    return f"is a {kind}" if kind in ("class", "function") else f"is of {_name(kind)}"


def _name(kind: str) -> str:
    return kind.removeprefix(UNKNOWN).replace(":", ".").removeprefix("builtins.")
