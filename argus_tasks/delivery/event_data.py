"""The data of events: any value as JSON that the server can store, within its limits."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

from argus_tasks.base.files import dumps
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.redact import known_secrets, redact_value

BATCH_ID_LIMIT = 128
JOB_ID_LIMIT = 256
TEXT_LIMIT = 64 * 1024
EVENT_LIMIT = 512 * 1024
INT_LIMIT = 2**63
"""Integers from this size on have more than 64 bits."""


def fit_id(text: Any, limit: int) -> str:
    """An id as text of 1 to `limit` characters, as the server requires it. A longer one is cut and
    ends in a hash of the whole."""
    plain = str(to_jsonable(text)) or "unnamed"
    if len(plain) <= limit:
        return plain
    return f"{plain[: limit - 13]}-{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def clean(data: Mapping[str, Any]) -> dict[str, Any]:
    """A user's mapping as JSON that the server can store, without secrets.

    Numbers that are not finite become null and are listed under `nonfinite`. Integers beyond 64
    bits become floats and long texts are cut, both listed under `shortened`.
    """
    nonfinite: dict[str, str] = {}
    shortened: dict[str, str] = {}
    plain = to_jsonable(data, nonfinite)
    if not isinstance(plain, dict):
        plain = {"value": plain}
    result: dict[str, Any] = redact_value(_bounded(plain, shortened, ""), known_secrets())
    if nonfinite:
        result["nonfinite"] = nonfinite
    if shortened:
        result["shortened"] = shortened
    return result


def with_required_keys(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """The data with the keys that the server requires of this type."""
    if event_type == "job_epoch":
        number = whole_number(data.get("epoch"))
        if number is None:
            return {**data, "epoch": -1, "epoch_given": data.get("epoch")}
        return {**data, "epoch": number}
    if event_type == "log_line":
        line, level = data.get("line", ""), str(data.get("level") or "info").lower()
        return {
            **data,
            "line": line if isinstance(line, str) else dumps(line),
            "level": level,
        }
    if event_type == "job_done" and not isinstance(data.get("metrics", {}), dict):
        return {**data, "metrics": {"value": data["metrics"]}}
    return data


def whole_number(value: Any) -> int | None:
    """The value as an integer of 64 bits; None where it is none."""
    plain = to_jsonable(value)
    if isinstance(plain, bool | int) or (isinstance(plain, float) and plain.is_integer()):
        number = int(plain)
    else:
        return None
    return number if -INT_LIMIT < number < INT_LIMIT else None


def stand_in(event_type: str, data: Mapping[str, Any], size: int) -> dict[str, Any]:
    """What is sent in place of data that are larger than EVENT_LIMIT: their size and first keys."""
    keys = [str(to_jsonable(key))[:100] for key in itertools.islice(data, 50)]
    short: dict[str, Any] = {"too_large_bytes": size, "keys": keys}
    if event_type == "log_line":
        short |= {"line": f"<a line of {size} bytes>", "level": "warning"}
    return short


def _bounded(value: Any, shortened: dict[str, str], path: str) -> Any:
    if isinstance(value, str):
        if len(value) <= TEXT_LIMIT:
            return value
        shortened[path] = f"{len(value)} characters"
        return value[:TEXT_LIMIT]
    if isinstance(value, int) and not -INT_LIMIT < value < INT_LIMIT:
        shortened[path] = f"{value.bit_length()} bits"
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, dict):
        return {
            key if len(key) <= JOB_ID_LIMIT else fit_id(key, JOB_ID_LIMIT): _bounded(
                item, shortened, f"{path}.{key}"[:JOB_ID_LIMIT] if path else key[:JOB_ID_LIMIT]
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_bounded(item, shortened, f"{path}.{i}") for i, item in enumerate(value)]
    return value
