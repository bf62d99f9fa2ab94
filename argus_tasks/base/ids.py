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
from pathlib import PurePath
from typing import Any

from argus_tasks.base.jsonable import key_text, to_jsonable


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
    differs from both), tuples as lists, paths as POSIX text."""
    return json.dumps(
        to_jsonable(_canonical(value)), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )


def digest_of(experiment: str, config: Mapping[str, Any], ignore: Collection[str] = ()) -> str:
    """The digest of a run, equal for equal runs: SHA-256 (hex) of experiment and config.

    Args:
        experiment: the experiment's identity.
        config: the config.
        ignore: top-level keys of the config that do not count.
    """
    counted = {key: value for key, value in config.items() if key not in ignore}
    text = f"{experiment}\n{canonical_json(counted)}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
        # JSON has no nan, inf and -inf; they are three different values.
        return value if value - value == 0 else f"<{value!r}>"
    if isinstance(value, Mapping):
        return {key_text(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    if hasattr(value, "dtype") and callable(getattr(value, "tolist", None)):
        return _canonical(value.tolist())
    return value


_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")


def slug(text: str, limit: int = 80) -> str:
    """The text as a file name: letters, digits and `._=+-`, at most `limit` characters."""
    short = _UNSAFE.sub("-", text).strip("-")
    if len(short) <= limit:
        return short
    tail = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{short[: limit - 9]}-{tail}"
