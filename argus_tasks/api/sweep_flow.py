"""`sweep_flow`: a sweep in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_tasks.api.launch import launch
from argus_tasks.experiments.experiment import ExperimentFunction
from argus_tasks.planning.resolve import resolve
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.ledger.summary import RunSummary, SweepFailed
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.modes import Mode
from argus_tasks.spec.order import Order

if TYPE_CHECKING:
    from argus_tasks.spec.sections import OnCodeChange
    from argus_tasks.spec.sweep_spec import SweepSpec


def sweep_flow(
    configs: Sequence[Mapping[str, Any]] | SweepSpec | str | Path,
    experiment: ExperimentFunction | str | None = None,
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
    nice: int | None = None,
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
    fresh: bool = False,
    on_code_change: OnCodeChange | None = None,
    search: Mapping[str, Any] | None = None,
    job: Mapping[str, str] | None = None,
    ignore_keys: Sequence[str] | None = None,
    raise_on_failure: bool = False,
) -> RunSummary:
    """Run an experiment over configs, each as a Prefect task run with a folder of its own.

    Nothing needs to be started beforehand. What is None comes from the sweep file, else from the
    defaults; configs that succeeded earlier under the same results root are reused.

    Args:
        configs: a list of mappings, a `SweepSpec`, or the path of a sweep file.
        experiment: a function `fn(ctx) -> dict | None`, or its path `package.module:function`; a
            command line `command:python train.py --lr {lr}`; a Hydra app `hydra:path/to/app.py`.
        name: the sweep's name; by default the sweep file's stem or the function's name.
        project: by default the name of git's top folder, else of the working folder.
        results_root: where the run folders go; by default `results/` there.
        mode: sequential, process_pool (the default), joblib, dynamic, thread, dask or ray.
        address: the cluster of `dask` and `ray`; by default one on this machine, for this sweep.
        workers: how many run at once; by default as many as there are usable cores.
        cpu_threshold: `dynamic` starts nothing new above this percentage of the CPU.
        cpu_limit: the limit on Prefect's server that shows and sets how many run in `dynamic`.
        limits: limits there that are shared with whatever else names them: `{"license": 2}`, or
            with `{"limit": 2, "slots": 1, "where": {"model": "patchtst"}}` for some configs only.
        max_attempts: tries for each config, the first one too.
        retry_on: names of exception classes, and causes such as `timeout` and `out of memory`, to
            try again on; `Exception` matches all.
        not_on: such names never to try again on.
        delay_s: seconds before the second try.
        backoff: each further delay is the one before times this.
        timeout_s: seconds after which an attempt is ended.
        timeout: `5x`: the same for so many times the median duration.
        fresh_process: give each attempt a process of its own.
        max_runs_per_worker: attempts after which a worker process is replaced.
        nice: the niceness of worker processes, from 0 to 19; by default, nothing is added.
        stop_grace_s: seconds that experiments have to end by themselves after a stop or a timeout.
        order: `given`, `smoke_first` (a few that have each value once, then the longest first) or
            `shuffle`.
        max_failures: stop when so many configs have failed: a count, or `5%` of all.
        max_consecutive_failures: stop when so many have failed one after the other.
        fail_fast: stop at the first failure.
        max_runtime: stop after so long: seconds, or `2h`.
        breaker: where so many configs that share a value fail alike, and others do not, hold the
            rest with that value back.
        min_free_memory: start nothing new while less is free: `4GB`, or `10%`.
        gpus: give each run a GPU of its own: `auto`, a list of numbers, or 0 for none at all.
        slots_per_gpu: how many runs share a GPU.
        metadata: what to say of every run in `meta.json`.
        tracker_specs: trackers by name: `{"type": ..., "kwargs": {...}}`.
        trackers: live trackers.
        experiment_type: a label for the monitor.
        fresh: a new batch; nothing is reused.
        on_code_change: what becomes of earlier runs that another code has made: `warn` uses them
            and says so, `rerun` runs them again, `stop` refuses to start.
        search: draw configs by Optuna while the sweep runs: a mapping as in a sweep file. `configs`
            then holds at most one, which all trials have.
        job: templates for the names of runs, models and datasets: `{"id": "{model}-s{seed}"}`.
        ignore_keys: top-level keys that do not make a config a different one.
        raise_on_failure: raise SweepFailed where any config failed.

    Returns:
        What it came to, whether configs failed or not.

    Raises:
        BadInput: something given cannot be used; nothing was started or written.
        SweepStopped: after a Ctrl-C, a SIGTERM or a cancel, once all is stopped and recorded;
            a KeyboardInterrupt.
    """
    given = dict(locals())  # every parameter by its name, and nothing else yet
    del given["raise_on_failure"]
    summary = launch(resolve(**given))
    if raise_on_failure and not summary.ok:
        raise SweepFailed(summary)
    return summary
