"""Makes a complete sweep request from what a caller gives."""

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
from argus_tasks.experiments.from_spec import check_fit, experiment_of
from argus_tasks.planning.defaults import default_project, default_results_root
from argus_tasks.planning.request import ISOLATION_KEYS, SweepRequest, checked_configs
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.gpus import usable_gpus
from argus_tasks.spec.modes import ENGINES, UNISOLATED
from argus_tasks.spec.named_limits import check_limits
from argus_tasks.spec.options import override
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.search_section import Search
from argus_tasks.spec.search_space import SearchSpace
from argus_tasks.spec.sections import Execution
from argus_tasks.spec.sweep_spec import SweepSpec, load_sweep_file


def resolve(
    configs: Any,
    experiment: Experiment | ExperimentFunction | str | None = None,
    *,
    metadata: RunMetadata | Mapping[str, Any] | None = None,
    trackers: Sequence[Tracker] | None = None,
    batch_id: str | None = None,
    reuse: bool = True,
    fresh: bool = False,
    **given: Any,
) -> SweepRequest:
    """Make the request of a sweep.

    Args:
        configs: a list of mappings, a SweepSpec, or the path of a sweep file.
        experiment: the experiment; by default, that of the sweep file.
        metadata: the metadata of every run.
        trackers: tracker objects.
        batch_id: the batch; by default, that of the same sweep, or a new one.
        reuse: whether earlier successes are reused.
        fresh: whether a new batch is started that reuses nothing.
        given: options by their names in `spec.options`; None means not given. They overrule those
            of the sweep file, which overrule the defaults. Where the caller chooses a mode without
            worker processes, or without a cluster, the file's options for these are left out.

    Raises:
        BadInput: for a wrong value.
    """
    forget_repos()
    listed = _spec_of(configs) is None
    spec = _without_what_the_mode_lacks(_spec_of(configs) or SweepSpec(), given.get("mode"))
    root = given.get("results_root") or spec.results_path
    if given.get("results_root"):
        given["results_root"] = str(root)
    asked = checked_configs(configs) if listed else ()
    if given.get("search") is not None and len(asked) > 1:
        raise BadInput(
            f"configs has {len(asked)} configs, and search draws its own; expected at most one,"
            " which is the base of all trials."
        )
    filed_search = _storage_from_the_file(spec)
    spec = override(spec.model_copy(update={"search": filed_search}), given)
    duplicates = 0
    if listed:
        asked = asked or (({},) if spec.search is not None else ())
    else:
        expansion = expand(spec)
        asked, duplicates = expansion.configs, expansion.duplicates
    mode = spec.execution.mode
    found = _experiment(experiment, spec.folder) if experiment is not None else experiment_of(spec)
    if mode not in UNISOLATED:
        found = found.for_workers()
    shaped = asked if spec.search is None else SearchSpace(asked[0], spec.search).examples()
    check_fit(found, shaped, spec, mode)
    check_limits(spec.limits, shaped)
    named = spec.name or found.name
    spec = spec.model_copy(
        update={
            "name": named,
            "project": spec.project or default_project(spec.folder),
            "results_root": str(
                Path(root or default_results_root(spec.folder)).expanduser().resolve()
            ),
            "execution": _with_workers(spec.execution),
        }
    )
    return SweepRequest(
        spec=spec,
        experiment=found,
        configs=asked,
        retry=RetryPolicy.of(**spec.retry.model_dump()),
        metadata=_metadata(metadata, spec, named if reuse else None),
        trackers=tuple(trackers or ()),
        batch_id=batch_id,
        duplicates=duplicates,
        reuse=reuse,
        fresh=fresh,
    )


def _spec_of(configs: Any) -> SweepSpec | None:
    if isinstance(configs, SweepSpec):
        return configs
    if isinstance(configs, str | Path):
        return load_sweep_file(configs)
    return None


def _without_what_the_mode_lacks(spec: SweepSpec, mode: object) -> SweepSpec:
    """The file's options without those that have no meaning in the mode that the caller chose."""
    left_out: set[str] = set()
    if mode in UNISOLATED:
        left_out |= set(ISOLATION_KEYS)
    if mode is not None and mode not in ENGINES:
        left_out.add("address")
    kept = spec.execution.model_dump(exclude=left_out, exclude_unset=True)
    return spec.model_copy(update={"execution": Execution(**kept)})


def _storage_from_the_file(spec: SweepSpec) -> Search | None:
    """The file's search, with its storage path relative to the file's folder."""
    search = spec.search
    if search is None or search.storage is None or "://" in search.storage:
        return search
    return search.model_copy(update={"storage": str(spec.folder / search.storage)})


def _with_workers(execution: Execution) -> Execution:
    """The section with `workers` filled in: one for each GPU slot; without GPUs, for each core."""
    if execution.workers != "auto":
        return execution
    slots = len(usable_gpus(execution.gpus, os.environ)) * execution.slots_per_gpu
    return execution.model_copy(update={"workers": slots or usable_cpus()})


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
