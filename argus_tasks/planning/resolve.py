"""From what a caller gives to a sweep with nothing left open."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from argus_tasks.base.cpus import usable_cpus
from argus_tasks.base.errors import BadInput
from argus_tasks.base.repo import forget_repos
from argus_tasks.experiments.experiment import Experiment, ExperimentFunction, experiment_from
from argus_tasks.experiments.from_spec import check_fit, experiment_of, tracker_specs_of
from argus_tasks.planning.defaults import default_project, default_results_root
from argus_tasks.planning.request import ISOLATION_KEYS, SweepRequest, checked_configs
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.code_change_policy import OnCodeChange
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.gpus import Gpus, check_gpus, usable_gpus
from argus_tasks.spec.modes import ENGINES, UNISOLATED, Mode
from argus_tasks.spec.named_limits import named_limits
from argus_tasks.spec.order import Order
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.search_section import Search
from argus_tasks.spec.search_space import Space
from argus_tasks.spec.sections import Stop
from argus_tasks.spec.stop_rules import StoppingRules
from argus_tasks.spec.sweep_spec import SweepSpec, load_sweep_file


def resolve(
    configs: Any,
    experiment: Experiment | ExperimentFunction | str | None = None,
    *,
    name: str | None = None,
    project: str | None = None,
    results_root: str | Path | None = None,
    mode: Mode | None = None,
    address: str | None = None,
    workers: int | None = None,
    cpu_threshold: float | None = None,
    cpu_limit: str | None = None,
    limits: Mapping[str, Any] | None = None,
    max_attempts: int | None = None,
    retry_on: Sequence[str] | None = None,
    not_on: Sequence[str] | None = None,
    delay_s: float | None = None,
    backoff: float | None = None,
    timeout_s: float | None = None,
    timeout: str | None = None,
    fresh_process: bool | None = None,
    max_runs_per_worker: int | None = None,
    stop_grace_s: float | None = None,
    order: Order | None = None,
    max_failures: int | str | None = None,
    max_consecutive_failures: int | None = None,
    fail_fast: bool | None = None,
    max_runtime: float | str | None = None,
    breaker: int | None = None,
    min_free_memory: str | None = None,
    gpus: str | int | Sequence[int] | None = None,
    slots_per_gpu: int | None = None,
    metadata: RunMetadata | Mapping[str, Any] | None = None,
    tracker_specs: Sequence[Mapping[str, Any]] | None = None,
    trackers: Sequence[Tracker] | None = None,
    experiment_type: str | None = None,
    batch_id: str | None = None,
    reuse: bool = True,
    fresh: bool = False,
    on_code_change: OnCodeChange | None = None,
    search: Search | Mapping[str, Any] | None = None,
) -> SweepRequest:
    """The request of `configs`: a list of mappings, a SweepSpec, or the path of a sweep file.

    What is None comes from the sweep file, else from the defaults. Where the caller chooses a mode
    without worker processes, or without a cluster, what the file says of them is left out. Errors:
    BadInput.
    """
    forget_repos()
    spec = _spec_of(configs)
    if spec is None:
        folder, asked, duplicates = Path.cwd(), checked_configs(configs), 0
        spec = SweepSpec()
        searched = asked_search(search, asked)
        asked = asked or ({},) if searched is not None else asked
    else:
        searched = asked_search(search, ()) or _relative(spec)
        spec = spec.model_copy(update={"search": searched})
        expansion = expand(spec)
        folder, asked, duplicates = spec.folder, expansion.configs, expansion.duplicates
    execution, policy = spec.execution, spec.retry
    if mode in UNISOLATED:
        execution = execution.model_copy(update=dict.fromkeys(ISOLATION_KEYS))
    if mode is not None and mode not in ENGINES:
        execution = execution.model_copy(update={"address": None})
    found = _experiment(experiment, folder) if experiment is not None else experiment_of(spec)
    if (mode or execution.mode) not in UNISOLATED:
        found = found.for_workers()
    shaped = asked if searched is None else Space(asked[0], searched).examples()
    check_fit(found, shaped, spec, mode or execution.mode)
    named = name or spec.name or found.name
    root = results_root or spec.results_path or default_results_root(folder)
    count = workers if workers is not None else execution.workers
    asked_gpus = _gpus(gpus if gpus is not None else execution.gpus)
    slots = slots_per_gpu if slots_per_gpu is not None else execution.slots_per_gpu
    return SweepRequest(
        name=named,
        project=project or spec.project or default_project(folder),
        results_root=Path(root).expanduser().resolve(),
        experiment=found,
        configs=asked,
        mode=mode or execution.mode,
        address=address or execution.address,
        workers=_auto_workers(asked_gpus, slots) if count == "auto" else count,
        cpu_threshold=cpu_threshold if cpu_threshold is not None else execution.cpu_threshold,
        cpu_limit=cpu_limit or execution.cpu_limit,
        limits=named_limits(
            spec.limits if limits is None else SweepSpec.from_mapping({"limits": limits}).limits,
            shaped,
        ),
        retry=RetryPolicy(
            max_attempts if max_attempts is not None else policy.max_attempts,
            RetryPolicy.names(retry_on if retry_on is not None else policy.retry_on),
            delay_s if delay_s is not None else policy.delay_s,
            backoff if backoff is not None else policy.backoff,
            RetryPolicy.names(not_on if not_on is not None else policy.not_on, "not_on"),
        ),
        timeout_s=timeout_s if timeout_s is not None else execution.timeout_s,
        timeout=timeout if timeout is not None else execution.timeout,
        fresh_process=bool(execution.fresh_process if fresh_process is None else fresh_process),
        max_runs_per_worker=(
            execution.max_runs_per_worker if max_runs_per_worker is None else max_runs_per_worker
        ),
        stop_grace_s=stop_grace_s if stop_grace_s is not None else execution.stop_grace_s,
        order=order or execution.order,
        stopping=_stopping(
            spec.stop,
            max_failures=max_failures,
            max_consecutive_failures=max_consecutive_failures,
            fail_fast=fail_fast,
            max_runtime=max_runtime,
            breaker=breaker,
        ),
        min_free_memory=min_free_memory or execution.min_free_memory,
        gpus=asked_gpus,
        slots_per_gpu=slots,
        metadata=_metadata(metadata, spec, named if reuse else None),
        job=spec.job,
        ignore_keys=tuple(spec.ignore_keys),
        tracker_specs=tuple(tracker_specs if tracker_specs is not None else tracker_specs_of(spec)),
        trackers=tuple(trackers or ()),
        experiment_type=experiment_type or spec.experiment_type,
        batch_id=batch_id,
        duplicates=duplicates,
        reuse=reuse,
        fresh=fresh,
        on_code_change=on_code_change or spec.on_code_change,
        source=spec.source,
        search=searched,
    )


def asked_search(
    given: Search | Mapping[str, Any] | None, configs: Sequence[Mapping[str, Any]]
) -> Search | None:
    """The search that a caller asks for; `configs` may hold what all its trials have.

    Errors: BadInput.
    """
    if given is None:
        return None
    if len(configs) > 1:
        raise BadInput(
            f"configs has {len(configs)} configs, and search draws its own; expected at most one,"
            " which all trials have."
        )
    return given if isinstance(given, Search) else SweepSpec.from_mapping({"search": given}).search


def _relative(spec: SweepSpec) -> Search | None:
    """The file's search, its storage as seen from the file."""
    search = spec.search
    if search is None or search.storage is None or "://" in search.storage:
        return search
    return search.model_copy(update={"storage": str(spec.folder / search.storage)})


def _auto_workers(gpus: Gpus | None, slots_per_gpu: int) -> int:
    """A worker for each slot of a GPU; without GPUs, for each core."""
    check_gpus(gpus, slots_per_gpu)
    return len(usable_gpus(gpus, os.environ)) * slots_per_gpu or usable_cpus()


def _gpus(given: str | int | Sequence[int] | None) -> Gpus | None:
    return given if given is None or isinstance(given, str | int) else tuple(given)


def _stopping(said: Stop, **given: Any) -> StoppingRules:
    asked = {key: value for key, value in given.items() if value is not None}
    return StoppingRules(**said.model_dump() | asked)


def _spec_of(configs: Any) -> SweepSpec | None:
    if isinstance(configs, SweepSpec):
        return configs
    if isinstance(configs, str | Path):
        return load_sweep_file(configs)
    return None


def _experiment(given: Experiment | ExperimentFunction | str, folder: Path) -> Experiment:
    return given if isinstance(given, Experiment) else experiment_from(given, folder)


def _metadata(
    given: RunMetadata | Mapping[str, Any] | None, spec: SweepSpec, name: str | None
) -> RunMetadata:
    said = spec.metadata.model_dump(exclude_none=True)
    if isinstance(given, RunMetadata):
        given = {key: value for key, value in given.to_dict().items() if value is not None}
    try:
        meta = RunMetadata(**{**said, **(given or {})})
    except TypeError as error:
        raise BadInput(
            f"metadata is {dict(given or {})!r}; expected the keys"
            f" {', '.join(field.name for field in fields(RunMetadata))}."
        ) from error
    meta.experiment_name = meta.experiment_name or name
    return meta
