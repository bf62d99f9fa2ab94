"""From what a caller gives to a sweep with nothing left open."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.runs.metadata import RunMetadata
from argus_tasks.runs.trackers import Tracker
from argus_tasks.sweep.experiment import Experiment, ExperimentFunction, experiment_from
from argus_tasks.sweep.job import JobTemplates
from argus_tasks.sweep.modes import Mode
from argus_tasks.sweep.request import (
    DEFAULT_STOP_GRACE_S,
    SweepRequest,
    checked_configs,
    default_project,
    default_results_root,
)
from argus_tasks.sweep.retry import RetryPolicy

DEFAULT_CPU_THRESHOLD = 80


def resolve(
    configs: Any,
    experiment: ExperimentFunction | str | None = None,
    *,
    name: str | None = None,
    project: str | None = None,
    results_root: str | Path | None = None,
    mode: Mode | None = None,
    workers: int | None = None,
    cpu_threshold: int | None = None,
    max_attempts: int | None = None,
    retry_on: Sequence[str] | None = None,
    delay_s: float | None = None,
    backoff: float | None = None,
    stop_grace_s: float | None = None,
    metadata: RunMetadata | Mapping[str, Any] | None = None,
    tracker_specs: Sequence[Mapping[str, Any]] | None = None,
    trackers: Sequence[Tracker] | None = None,
    experiment_type: str | None = None,
    batch_id: str | None = None,
    reuse: bool = True,
    fresh: bool = False,
) -> SweepRequest:
    """The request of `configs`: a list of mappings, a SweepSpec, or the path of a sweep file.

    What is None comes from the sweep file, else from the defaults. Errors: BadInput.
    """
    given = _from_list(configs)
    folder = Path.cwd()
    found = _experiment(experiment, folder)
    return SweepRequest(
        name=name or found.name,
        project=project or default_project(folder),
        results_root=_absolute(results_root, default_results_root(folder)),
        experiment=found,
        configs=given,
        mode=mode or "process_pool",
        workers=workers if workers is not None else usable_cpus(),
        cpu_threshold=cpu_threshold if cpu_threshold is not None else DEFAULT_CPU_THRESHOLD,
        retry=RetryPolicy(
            max_attempts if max_attempts is not None else 1,
            tuple(retry_on) if retry_on is not None else ("Exception",),
            delay_s if delay_s is not None else 0.0,
            backoff if backoff is not None else 1.0,
        ),
        stop_grace_s=stop_grace_s if stop_grace_s is not None else DEFAULT_STOP_GRACE_S,
        metadata=_metadata(metadata),
        job=JobTemplates(),
        tracker_specs=tuple(tracker_specs or ()),
        trackers=tuple(trackers or ()),
        experiment_type=experiment_type,
        batch_id=batch_id,
        reuse=reuse,
        fresh=fresh,
    )


def usable_cpus() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _from_list(configs: Any) -> tuple[dict[str, Any], ...]:
    return checked_configs(configs)


def _experiment(given: ExperimentFunction | str | None, folder: Path) -> Experiment:
    if given is None:
        raise BadInput(
            "experiment is missing; expected a function or an import path"
            " such as 'package.module:function'."
        )
    return experiment_from(given, folder)


def _absolute(given: str | Path | None, default: Path) -> Path:
    return Path(given if given is not None else default).expanduser().resolve()


def _metadata(given: RunMetadata | Mapping[str, Any] | None) -> RunMetadata | None:
    if given is None or isinstance(given, RunMetadata):
        return given
    try:
        return RunMetadata(**given)
    except TypeError as error:
        raise BadInput(f"metadata is {dict(given)!r}; expected RunMetadata's keys.") from error
