"""Writes the files of one run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import (
    PRIVATE,
    SHARED,
    append_line,
    dumps,
    read_mapping,
    write_bytes_whole,
    write_text_whole,
)
from argus_tasks.base.given import NONFINITE, given_of
from argus_tasks.base.jsonable import Json, to_jsonable
from argus_tasks.base.redact import holds_secrets, known_secrets, redact_value
from argus_tasks.runs.record.causes import stopped_by
from argus_tasks.runs.record.layout import (
    ARTIFACTS,
    CHECKPOINTS,
    CONFIG_JSON,
    ERROR_LOG,
    EVENTS_JSONL,
    FAILED,
    META_JSON,
    METRICS_JSON,
    RUN_JSON,
    RUNNING,
    SCHEMA_VERSION,
)
from argus_tasks.runs.record.metadata import RunMetadata


@dataclass(frozen=True, slots=True)
class RunKey:
    """The identity of a run.

    Attributes:
        run_id: its id, which is also its folder's name.
        run_dir: its folder, an absolute path.
        job_id: its readable name within the batch.
        batch_id: the batch that it belongs to.
        digest: SHA-256 of experiment and config; None where the run is never reused.
        owner: the sweep's process (`base.processes`), which owns the run while it lives.
        experiment: which experiment it is of (`provenance.project.ExperimentMark`); None where
            nothing says where that stands.
    """

    run_id: str
    run_dir: str
    job_id: str
    batch_id: str
    digest: str | None
    owner: Mapping[str, Any] | None = None
    experiment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended.

    Attributes:
        status: succeeded, failed or skipped.
        cause: why it failed, in one label (`runs.record.causes`); None where it succeeded.
        error_type: the exception's class name, or the cause's.
        error_message: the exception's text.
        resumable: the next start resumes this run in its folder.
    """

    status: str
    cause: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    resumable: bool = False


def stopped_ending(by: str) -> Ending:
    """The ending of a run that was stopped: the next start resumes it."""
    cause = stopped_by(by)
    return Ending(FAILED, cause, "Stopped", cause, resumable=True)


@dataclass(slots=True)
class RunRecord:
    """`run.json` and `events.jsonl` of one run.

    Attributes:
        hashes: SHA-256 (hex) of `metrics.json` and of the closed `run.json`.
        manifest: the name of the list of the code that this attempt executes; None while it is not
            known.
        earlier_manifests: those of earlier attempts, where they are others.
        given: what `config.json` does not give back of the config (`base.given`).
        nonfinite: the metrics that are nan or an infinity, and so null in `metrics.json`, by JSON
            pointer.
    """

    key: RunKey
    meta: RunMetadata
    started_at: str = field(default_factory=utc_now_iso)
    spent_s: float = 0.0
    resources: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    manifest: str | None = None
    earlier_manifests: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    nonfinite: dict[str, str] = field(default_factory=dict)

    def open(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Create the folder and write `config.json`, which only its owner may read if it has
        secrets.

        Returns the config's values that JSON cannot represent, by dotted path (written as null).
        """
        for folder in (self.key.run_dir, self._path(ARTIFACTS), self._path(CHECKPOINTS)):
            _make_folder(folder)
        nonfinite: dict[str, str] = {}
        plain = to_jsonable(config, nonfinite)
        self.given = given_of(config)
        mode = PRIVATE if holds_secrets(plain) else SHARED
        write_text_whole(self._path(CONFIG_JSON), pretty(plain), mode=mode)
        return nonfinite

    def resume(self) -> None:
        """Continue the folder of an earlier attempt, with its start time and the seconds it ran."""
        before = record_of(self.key.run_dir)
        if before is not None:
            self.started_at = str(before.get("started_at") or self.started_at)
            spent = before.get("duration_sec")
            self.spent_s = float(spent) if isinstance(spent, int | float) else 0.0
            names = (*(before.get("earlier_manifests") or ()), before.get("manifest"))
            self.earlier_manifests = tuple(dict.fromkeys(name for name in names if name))
            self.given = dict(before.get("given") or {})
        for name in (ERROR_LOG, METRICS_JSON):  # they are the earlier attempt's
            Path(self._path(name)).unlink(missing_ok=True)

    def running(self) -> None:
        """Write `run.json` as running, and `meta.json` of this attempt."""
        payload = self._payload(RUNNING) | {"owner": dict(self.key.owner or {})}
        write_text_whole(self._path(RUN_JSON), pretty(payload))
        write_text_whole(self._path(META_JSON), pretty(self.meta.to_json()))

    def metrics(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        """Write `metrics.json`; returns the values that JSON cannot represent, as `open` does."""
        nonfinite: dict[str, str] = {}
        self._write_hashed(METRICS_JSON, pretty(to_jsonable(metrics, nonfinite)))
        given = given_of(metrics) if nonfinite else {}
        self.nonfinite = {key: kind for key, kind in given.items() if kind in NONFINITE}
        return nonfinite

    def error(self, text: str) -> None:
        """Write `error.log`: the stack trace, or what is known of a crash."""
        write_text_whole(self._path(ERROR_LOG), text.rstrip("\n") + "\n")

    def event(self, event: str, **fields: Any) -> None:
        """Append a line to `events.jsonl`: start, retry, skip, error or end."""
        line = {"event": event, "run_id": self.key.run_id, "timestamp": utc_now_iso(), **fields}
        append_line(self._path(EVENTS_JSONL), dumps(to_jsonable(line)))

    def close(self, ending: Ending, duration_s: float) -> dict[str, object]:
        """Write the final `run.json` (`duration_s` is this attempt's); returns the summary."""
        self.spent_s = round(self.spent_s + duration_s, 6)
        payload = self._payload(ending.status)
        payload |= {
            "finished_at": utc_now_iso(),
            "duration_sec": self.spent_s,
            "error_type": ending.error_type,
            "error_message": ending.error_message,
            "cause": ending.cause,
            "resumable": ending.resumable,
            "resources": self.resources,
        }
        self._write_hashed(RUN_JSON, pretty(to_jsonable(payload)))
        return {
            "run_id": self.key.run_id,
            "status": ending.status,
            "error_type": ending.error_type,
            "error_message": ending.error_message,
            "retry_count": payload["retry_count"],
            "attempt": payload["attempt"],
        }

    def _payload(self, status: str) -> dict[str, Any]:
        attempt = self.meta.attempt or 1
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.key.run_id,
            "status": status,
            "started_at": self.started_at,
            "finished_at": None,
            "duration_sec": None,
            "error_type": None,
            "error_message": None,
            "experiment_name": self.meta.experiment_name,
            "group": self.meta.group,
            "tags": redact_value(to_jsonable(self.meta.tags), known_secrets()),
            "parent_run_id": self.meta.parent_run_id,
            "attempt": attempt,
            "retry_count": attempt - 1,
            "batch_id": self.key.batch_id,
            "job_id": self.key.job_id,
            "digest": self.key.digest,
            "code": self.meta.code,
            "experiment": self.key.experiment,
            "manifest": self.manifest,
            "earlier_manifests": [n for n in self.earlier_manifests if n != self.manifest],
            "cause": None,
            "resumable": False,
            **({"given": self.given} if self.given else {}),
            **({"nonfinite": self.nonfinite} if self.nonfinite else {}),
        }

    def _write_hashed(self, name: str, text: str) -> None:
        data = text.encode("utf-8")
        write_bytes_whole(self._path(name), data)
        self.hashes[name] = sha256(data).hexdigest()

    def _path(self, name: str) -> str:
        return f"{self.key.run_dir}/{name}"


def record_of(run_dir: str) -> dict[str, Any] | None:
    """What a folder's `run.json` says; None where it cannot be read."""
    return read_mapping(f"{run_dir}/{RUN_JSON}") or None


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path)  # noqa: PTH102 - hot path, text paths
    except OSError:  # it exists already; any other error is raised again below
        os.makedirs(path, exist_ok=True)  # noqa: PTH103


def pretty(value: Json) -> str:
    """JSON with one line for each top-level key: quick to write, and readable."""
    if not isinstance(value, dict) or not value:
        return dumps(value) + "\n"
    lines = ",\n".join(
        [f"  {encode_basestring(key)}: {_item(item)}" for key, item in value.items()]
    )
    return f"{{\n{lines}\n}}\n"


def _item(value: Json) -> str:
    """`dumps`, faster for the commonest values."""
    if type(value) is str:
        return encode_basestring(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    return dumps(value)
