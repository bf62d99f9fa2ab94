"""Run ids, batch ids and digests of configs.

The rules are contracts; do not change them. Batch ids follow the Argus server's rule, so that other
tools compute the same id.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from argus_tasks.base.jsonable import CIRCLE, MAX_DEPTH, TOO_DEEP, Json, key_text, simplify


def new_run_id(now: datetime | None = None) -> str:
    """A run's id and folder name: UTC `YYYYmmdd_HHMMSS_` and 8 hex digits."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%d_%H%M%S}_{secrets.token_hex(4)}"


def new_batch_id(prefix: str = "batch") -> str:
    """A new batch id: `<prefix>-<12 hex digits>`."""
    return f"{prefix}-{secrets.token_hex(6)}"


def derive_batch_id(
    project: str, experiment_name: str, git_sha: str | None = None, *, prefix: str = "bench"
) -> str:
    """The batch id that all tools compute for the same code: `<prefix>-<16 hex digits>`.

    SHA-256 of the UTF-8 text `project|experiment_name|git_sha`; no SHA (None or empty) counts as
    the text `no-git`. This function does not call git.
    """
    text = f"{project}|{experiment_name}|{git_sha or 'no-git'}"
    return f"{prefix}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]}"


def job_suffix(batch_id: str) -> str:
    """The end of a batch's job ids, which makes them unique across batches: the last six hex digits
    of the batch id, or of its hash where it does not end in hex digits."""
    tail = batch_id[-6:]
    if re.fullmatch("[0-9a-f]{6}", tail):
        return tail
    return hashlib.sha256(batch_id.encode("utf-8", "replace")).hexdigest()[:6]


def canonical_json(value: Any) -> str:
    """JSON that is the same text for equal values: keys sorted, no spaces, 1 and 1.0 equal (True
    differs from both), tuples as lists, paths as POSIX text.

    What JSON has no word for differs from every text: nan and the infinities, keys that are not
    text, and the class of a dataclass or pydantic model.
    """
    return _dumps(_canonical(value, set()))


def digest_of(experiment: str, config: Mapping[str, Any], ignore: Collection[str] = ()) -> str:
    """The digest of a run, equal for equal runs: SHA-256 (hex) of experiment and config.

    Args:
        experiment: the experiment's identity.
        config: the config.
        ignore: top-level keys of the config that do not count.
    """
    return _digest(experiment, _counted(config, ignore), text_keys=False)


def earlier_digest_of(
    experiment: str, config: Mapping[str, Any], ignore: Collection[str] = ()
) -> str:
    """The digest that a run of this config got when keys that are not text still counted as text.

    It differs from `digest_of` for such configs only, and for those that hold dataclasses.
    """
    return _digest(experiment, _counted(config, ignore), text_keys=True)


def _counted(config: Mapping[str, Any], ignore: Collection[str]) -> dict[Any, Any]:
    return {key: value for key, value in config.items() if key not in ignore}


def _digest(experiment: str, config: dict[Any, Any], *, text_keys: bool) -> str:
    text = f"{experiment}\n{_dumps(_canonical(config, set(), text_keys=text_keys))}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


_dumps = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
# What JSON has no word for is a text that begins with this mark; a text that begins with it, or is
# the word for a number that is not finite, gets two.
_MARK = "\0"
_NONFINITE = frozenset({"<nan>", "<inf>", "<-inf>"})


def _canonical(value: Any, above: set[int], *, text_keys: bool = False) -> Json:
    kind = type(value)
    if kind is str:
        return _canonical_text(value)
    if value is None or kind is bool or kind is int:
        return value  # type: ignore[no-any-return]
    if kind is float:
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
        return value if value - value == 0 else f"<{value!r}>"
    if len(above) >= MAX_DEPTH or id(value) in above:
        return TOO_DEEP if len(above) >= MAX_DEPTH else CIRCLE
    above.add(id(value))
    try:
        plain, lost = (value, None) if kind is dict or kind is list else simplify(value)
        if isinstance(plain, Mapping):
            found = {
                _canonical_key(key, text_keys=text_keys): _canonical(
                    item, above, text_keys=text_keys
                )
                for key, item in plain.items()
            }
            return found if lost is None or text_keys else {**found, f"{_MARK}class": lost}
        if isinstance(plain, list | tuple):
            return [_canonical(item, above, text_keys=text_keys) for item in plain]
        return _canonical(plain, above, text_keys=text_keys)
    except Exception as error:  # noqa: BLE001 - a user's object may raise anything
        return f"<unreadable {kind.__name__}: {type(error).__name__}>"
    finally:
        above.discard(id(value))


def _canonical_key(key: Any, *, text_keys: bool) -> str:
    if isinstance(key, str):
        return _canonical_text(str(key))
    return key_text(key) if text_keys else f"{_MARK}{canonical_json(key)}"


def _canonical_text(text: str) -> str:
    if text in _NONFINITE or text[:1] == _MARK:
        text = f"{_MARK}{_MARK}{text}"
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates
        return f"{_MARK}{text.encode('utf-8', 'backslashreplace').decode('utf-8')}"
    return text


_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")


def slug(text: str, limit: int = 80) -> str:
    """The text as a file name: letters, digits and `._=+-`, at most `limit` characters."""
    short = _UNSAFE.sub("-", text).strip("-")
    if len(short) <= limit:
        return short
    tail = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{short[: limit - 9]}-{tail}"
