"""Reads times, amounts of memory and shares as people write them: `2h`, `4GB`, `5%`."""

from __future__ import annotations

import math
import re

from argus_tasks.base.errors import BadInput

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = {
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def seconds_of(key: str, given: float | str) -> float:
    """The seconds of a number, or of text such as `2h`, `90m`, `1h30m`, `1d`.

    Raises:
        BadInput: if the value, named `key` in the message, is none of these, or not above 0.
    """
    seconds = 0.0
    if isinstance(given, int | float) and not isinstance(given, bool):
        seconds = float(given)
    elif isinstance(given, str):
        parts = _parts(given)
        if all(unit in _SECONDS for _, unit in parts):
            seconds = sum(number * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise BadInput(
            f"{key} is {given!r}; expected seconds above 0, or a time such as '2h', '90m' or"
            " '1h30m'."
        )
    return seconds


def bytes_of(key: str, given: str) -> int | None:
    """The bytes of text such as `4GB` or `512MiB`; None for a share such as `10%`.

    Raises:
        BadInput: if the value, named `key` in the message, is neither, or not above 0.
    """
    if isinstance(given, str):
        if 0 < (share_of(given) or 0) < 1:
            return None
        parts = _parts(given)
        if len(parts) == 1 and parts[0][1] in _BYTES and parts[0][0] > 0:
            return int(parts[0][0] * _BYTES[parts[0][1]])
    raise BadInput(
        f"{key} is {given!r}; expected an amount of memory such as '4GB', or a share such as '10%'."
    )


def share_of(given: object) -> float | None:
    """0.05 for `5%`; None for other text."""
    found = _SHARE.fullmatch(given.strip()) if isinstance(given, str) else None
    return float(found[1]) / 100 if found else None


def time_text(seconds: float) -> str:
    """The time as a person would write it: `2h`, `1h30m`, `45s`."""
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def _parts(given: str) -> list[tuple[float, str]]:
    """The numbers with their units; empty if the text has anything else in it."""
    text = given.strip().lower()
    found = _PART.findall(text)
    if "".join(match.group(0) for match in _PART.finditer(text)) != text:
        return []
    return [(float(number), unit) for number, unit in found]
