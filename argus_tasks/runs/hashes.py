"""SHA-256 of a run's files at its end: the ledger keeps them, `verify` compares."""

from __future__ import annotations

import hashlib
from typing import Any

from argus_tasks.runs.layout import (
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

# What is written by us and closed at the end; artifacts and checkpoints are the experiment's.
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


def hashes_of(run_dir: str) -> dict[str, Any]:
    """SHA-256 (hex) of each of the run's files that are there.

    `run.log` has `[SHA-256, bytes]`: a process that the experiment has left running may add to it.
    """
    found: dict[str, Any] = {}
    for name in RUN_FILES:
        try:
            digest, size = hash_of(f"{run_dir}/{name}")
        except OSError:
            continue
        found[name] = [digest, size] if name == RUN_LOG else digest
    return found


def hash_of(path: str, size: int | None = None) -> tuple[str, int]:
    """SHA-256 (hex) of a file, or of its first `size` bytes, and how many bytes that were.

    Errors: OSError.
    """
    digest = hashlib.sha256()
    left = size
    with open(path, "rb", buffering=0) as handle:  # noqa: PTH123 - hot path, text paths
        count = 0
        while left is None or left > 0:
            data = handle.read(1 << 20 if left is None else min(left, 1 << 20))
            if not data:
                break
            digest.update(data)
            count += len(data)
            if left is not None:
                left -= len(data)
    return digest.hexdigest(), count
