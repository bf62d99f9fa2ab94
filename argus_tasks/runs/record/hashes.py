"""SHA-256 of a run's files at its end: the ledger records them, `verify` compares them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from argus_tasks.runs.record.layout import (
    CONFIG_JSON,
    ERROR_LOG,
    EVENTS_JSONL,
    META_JSON,
    METRICS_JSON,
    METRICS_JSONL,
    REPORTS_JSONL,
    RUN_JSON,
    RUN_LOG,
)

# The files that argus-tasks writes; artifacts and checkpoints belong to the experiment.
RUN_FILES = (
    CONFIG_JSON,
    RUN_JSON,
    META_JSON,
    METRICS_JSON,
    METRICS_JSONL,
    REPORTS_JSONL,
    EVENTS_JSONL,
    ERROR_LOG,
    RUN_LOG,
)

_CHUNK = 1 << 16


def hashes_of(run_dir: str, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """SHA-256 (hex) of each of the run's files that exist; files in `known` are not read.

    `run.log` has `[SHA-256, bytes]`, for a process that the experiment left running may append to
    it.
    """
    found: dict[str, Any] = {}
    for name in RUN_FILES:
        if name in known:
            found[name] = known[name]
            continue
        try:
            digest, size = hash_of(f"{run_dir}/{name}")
        except OSError:
            continue
        found[name] = [digest, size] if name == RUN_LOG else digest
    return found


def hash_of(path: str, size: int | None = None) -> tuple[str, int]:
    """SHA-256 (hex) of a file, or of its first `size` bytes, and the number of bytes read.

    Errors: OSError.
    """
    digest, count = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while data := os.read(descriptor, _CHUNK if size is None else min(size - count, _CHUNK)):
            digest.update(data)
            count += len(data)
    finally:
        os.close(descriptor)
    return digest.hexdigest(), count
