"""Closes run folders that their worker could not close: it died, or the disk was full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import append_line, dumps, write_text_whole
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.processes import is_dead
from argus_tasks.runs.record.causes import PARENT_LOST
from argus_tasks.runs.record.layout import EVENTS_JSONL, FAILED, RUN_JSON, RUN_LOG, RUNNING
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.run_record import Ending, RunKey, RunRecord, pretty, record_of


def close_dead_attempt(
    key: RunKey,
    meta: RunMetadata,
    config: Mapping[str, Any],
    ending: Ending,
    evidence: str,
    duration_s: float,
    *,
    retrying: bool = False,
) -> None:
    """Close an attempt whose worker could not: it died, never got the attempt, or found the disk
    full. Before a retry (`retrying`), the evidence is appended to `run.log`."""
    record = RunRecord(key, meta)
    attempt = meta.attempt or 1
    record.resume()
    before = record_of(key.run_dir)
    if before is None:
        record.open(config)
        record.running()
    elif before.get("attempt") == attempt:
        record.manifest = before.get("manifest")
        if before.get("finished_at"):
            duration_s = 0.0  # its duration has been counted already
    if ending.status == FAILED and retrying:
        append_line(f"{key.run_dir}/{RUN_LOG}", evidence)
    elif ending.status == FAILED:
        record.error(evidence)
    summary = record.close(ending, duration_s)
    if ending.status == FAILED:
        record.event(
            "retry" if retrying else "error",
            attempt=attempt,
            error_type=ending.error_type,
            error_message=ending.error_message,
        )
    if not retrying:
        record.event("end", summary=summary)


def close_lost_run(run_dir: str, *, owner_gone: bool = False) -> dict[str, Any] | None:
    """Close a run whose owner has died and left it as running; the record or the caller
    (`owner_gone`) knows that the owner is dead.

    Returns the new record, resumable and with the cause `parent lost`; None where the run is not
    running, or where its owner may be alive.
    """
    before = record_of(run_dir)
    if before is None or before.get("status") != RUNNING:
        return None
    owner = before.get("owner")
    if isinstance(owner, Mapping) and owner and not (owner_gone or is_dead(owner)):
        return None
    message = "the process that ran it is gone"
    after = {
        **before,
        "status": FAILED,
        "finished_at": utc_now_iso(),
        "error_type": "ParentLost",
        "error_message": message,
        "cause": PARENT_LOST,
        "resumable": True,
    }
    write_text_whole(f"{run_dir}/{RUN_JSON}", pretty(to_jsonable(after)))
    event = {
        "event": "error",
        "run_id": after.get("run_id"),
        "timestamp": utc_now_iso(),
        "attempt": after.get("attempt"),
        "error_type": "ParentLost",
        "error_message": message,
    }
    append_line(f"{run_dir}/{EVENTS_JSONL}", dumps(to_jsonable(event)))
    return after
