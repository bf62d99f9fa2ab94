"""Reads the runs under a results root, each from its own folder only."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.given import distinguished
from argus_tasks.base.redact import redact, redact_value, secrets_of
from argus_tasks.base.repo import COMMIT_DIGITS
from argus_tasks.provenance.versions import CodeVersions

STATUSES = ("succeeded", "failed", "skipped", "running")
_RUN_ID = re.compile(r"\d{8}_\d{6}_[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Row:
    """One run. Times are ISO 8601 UTC; `metrics` is empty where the run has none. Numbers that are
    not finite are floats. Secrets are masked, also in `config`, for rows are shown and exported.

    `peak_ram_mb` is its peak memory in megabytes; `code` the version of its code, equal for runs
    that executed the same (`CodeVersions`); `host_kind` the kind of machine;
    `data_version` the version of its data; `experiment` the file and name of its experiment;
    `manifest` and `earlier_manifests` the lists of the code that its attempts executed. What a
    folder does not have is None: in folders of other tools that is much.
    """

    run_id: str
    status: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    error_type: str | None
    error_message: str | None
    started_at: str | None
    finished_at: str | None
    duration_sec: float | None
    attempt: int
    batch_id: str | None
    digest: str | None
    job_id: str | None
    cause: str | None
    parent_run_id: str | None
    peak_ram_mb: float | None
    code: str | None
    host_kind: str | None
    data_version: str | None
    path: Path
    experiment: str | None = None
    manifest: str | None = None
    earlier_manifests: tuple[str, ...] = ()


def codes_of(rows: Iterable[Row]) -> list[str]:
    """The code versions of the runs, each once."""
    return list(dict.fromkeys(row.code for row in rows if row.code))


@dataclass(frozen=True, slots=True)
class OddFolder:
    """A run folder that cannot be read completely, and why."""

    path: Path
    sentence: str


@dataclass(frozen=True, slots=True)
class Rows:
    """All runs, sorted by run id (which begins with the time), and the unreadable folders."""

    rows: tuple[Row, ...]
    odd: tuple[OddFolder, ...]


def load_rows(root: str | os.PathLike[str]) -> Rows:
    """The runs directly under the root, without symbolic links and names that begin with a dot.

    A folder that is not a run folder (another name, no `run.json`) is left out too; an incomplete
    or damaged one is listed in `odd`. Errors: BadInput where there is no such folder.
    """
    folder = os.fspath(root)
    try:
        with os.scandir(folder) as entries:
            mine = [e for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)]
            names = sorted(entry.name for entry in mine)
    except FileNotFoundError:
        raise BadInput(f"there is no folder {folder!r}; expected a folder of runs.") from None
    except OSError as error:
        raise BadInput(f"{folder!r} cannot be read as a folder: {error.strerror}.") from None
    rows: list[Row] = []
    odd: list[OddFolder] = []
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118 - text paths: thousands of them
        row = _read_run(path, name, odd)
        if row is not None:
            rows.append(row)
    names = [name for row in rows for name in (*row.earlier_manifests, row.manifest) if name]
    versions = CodeVersions([Path(folder)], names)
    return Rows(tuple(_with_code_labels(rows, versions)), tuple(odd))


def _with_code_labels(rows: Sequence[Row], versions: CodeVersions) -> list[Row]:
    """The rows, those made by one version of the code with one label in `code`: that of the oldest
    of them, the commit where Git gave one. Another commit that changed nothing which was executed
    is no other version. Runs without a manifest keep the label that they have."""
    labels: dict[int, str] = {}
    labelled = []
    for row in rows:
        names = dict.fromkeys((*row.earlier_manifests, row.manifest))
        numbers = {name: versions.number(name) for name in names if name}
        parts = dict.fromkeys(
            labels.setdefault(number, _new_label(row, name, labels))
            for name, number in numbers.items()
            if number is not None
        )
        labelled.append(replace(row, code=" + ".join(parts)) if parts else row)
    return labelled


def _new_label(row: Row, manifest: str, labels: dict[int, str]) -> str:
    label = row.code or manifest[:COMMIT_DIGITS]
    if label not in labels.values():
        return label
    return next(
        text
        for number in range(2, len(labels) + 3)
        if (text := f"{label}#{number}") not in labels.values()
    )


def _read_run(path: str, name: str, odd: list[OddFolder]) -> Row | None:
    try:
        run = _read_mapping(f"{path}/run.json")
    except FileNotFoundError:
        if _RUN_ID.fullmatch(name):
            odd.append(
                OddFolder(Path(path), "it has no run.json: the run was killed as it started.")
            )
        return None
    except (OSError, ValueError) as error:
        odd.append(OddFolder(Path(path), f"its run.json cannot be read: {_reason(error)}."))
        return None
    status = run.get("status")
    if status not in STATUSES:
        odd.append(OddFolder(Path(path), f"its run.json has the status {status!r}."))
        return None
    config = _read_or_tell(path, "config.json", odd)
    metrics: dict[str, Any] = {}
    if status == "succeeded":
        try:
            metrics = _read_mapping(f"{path}/metrics.json")
        except FileNotFoundError:
            pass  # the function returned None
        except (OSError, ValueError) as error:
            sentence = f"its metrics.json cannot be read: {_reason(error)}."
            odd.append(OddFolder(Path(path), sentence))
    meta = _read_meta(path)
    commit = _text(meta.get("git_commit")) or ""
    config = _as_given(config, run.get("given"), name)
    secrets = secrets_of(config)
    attempt = run.get("attempt")
    resources = run.get("resources")
    return Row(
        run_id=_text(run.get("run_id")) or name,
        status=status,
        config=redact_value(config, secrets),
        metrics=redact_value(_as_given(metrics, run.get("nonfinite"), name), secrets),
        error_type=_text(run.get("error_type")),
        error_message=redact(_text(run.get("error_message")) or "", secrets) or None,
        started_at=_text(run.get("started_at")),
        finished_at=_text(run.get("finished_at")),
        duration_sec=_number(run.get("duration_sec")),
        attempt=attempt if isinstance(attempt, int) else 1,
        batch_id=_text(run.get("batch_id")),
        digest=_text(run.get("digest")),
        job_id=_text(run.get("job_id")),
        cause=_text(run.get("cause")),
        parent_run_id=_text(run.get("parent_run_id")),
        peak_ram_mb=_number(resources.get("peak_ram_mb")) if isinstance(resources, dict) else None,
        code=_text(run.get("code")) or commit[:COMMIT_DIGITS] or None,
        host_kind=_text(meta.get("host_kind")),
        data_version=_text(meta.get("dataset_version")),
        path=Path(path),
        experiment=_experiment(run.get("experiment")),
        manifest=_text(run.get("manifest")),
        earlier_manifests=tuple(filter(_text, run.get("earlier_manifests") or ())),
    )


def _as_given(plain: dict[str, Any], given: object, name: str) -> dict[str, Any]:
    """A config or metrics with what JSON does not give back of them (`base.given`)."""
    if not isinstance(given, dict) or not given:
        return plain
    return distinguished(plain, {key: str(kind) for key, kind in given.items()}, name)


def _read_meta(path: str) -> dict[str, Any]:
    """The content of `meta.json`; empty where it is missing or damaged."""
    try:
        return _read_mapping(f"{path}/meta.json")
    except (OSError, ValueError):
        return {}


def _read_or_tell(path: str, name: str, odd: list[OddFolder]) -> dict[str, Any]:
    try:
        return _read_mapping(f"{path}/{name}")
    except (OSError, ValueError) as error:
        odd.append(OddFolder(Path(path), f"its {name} cannot be read: {_reason(error)}."))
        return {}


def _read_mapping(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as handle:  # noqa: PTH123 - text paths
        value = json.loads(handle.read())
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}")
    return value


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "it is not JSON"
    return str(error)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _experiment(mark: object) -> str | None:
    """The file and name of an experiment, from its mark in the record."""
    if not isinstance(mark, dict):
        return None
    return ":".join(filter(None, (_text(mark.get("entry")), _text(mark.get("qualname")))))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
