"""Names of files and folders in a run folder and a results root (run directory protocol 2)."""

from __future__ import annotations

from typing import TypeGuard

CONFIG_JSON = "config.json"
RUN_JSON = "run.json"
META_JSON = "meta.json"
METRICS_JSON = "metrics.json"
METRICS_JSONL = "metrics.jsonl"
REPORTS_JSONL = "reports.jsonl"
EVENTS_JSONL = "events.jsonl"
ARTIFACTS = "artifacts"
CHECKPOINTS = "checkpoints"
RUN_LOG = "run.log"
ERROR_LOG = "error.log"

SWEEP_FOLDER = ".sweep"
SWEEP_JSON = "sweep.json"
PLAN_JSONL = "plan.jsonl"
LEDGER_JSONL = "ledger.jsonl"
USAGE_JSONL = "usage.jsonl"
STARTS_JSONL = "starts.jsonl"
CLAIMS_FOLDER = "claims"
STOP_FILE = "stop"
PRUNE_FOLDER = "prune"

SCHEMA_VERSION = 2

RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
SKIPPED = "skipped"


def is_plain(name: object) -> TypeGuard[str]:
    """Whether an id read from a file is a plain name, not a path to another folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and "/" not in name
