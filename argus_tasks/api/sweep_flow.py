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
    """Run an experiment over a list of configs; each config is a Prefect task run with a folder.

    Nothing needs to be started beforehand: where no Prefect server is configured, one is started.
    An option that is None comes from the sweep file, else from the defaults. Configs that succeeded
    earlier under the same results root are not run again; their results are reused.

    Example:
        >>> from argus_tasks import sweep_flow
        >>> def train(ctx):
        ...     return {"loss": ctx.config["lr"] ** 2}
        >>> summary = sweep_flow([{"lr": 0.1}, {"lr": 0.01}], train, workers=2)
        >>> summary.sentence()
        '2 of 2 succeeded'
        >>> sweep_flow([{"lr": 0.1}, {"lr": 0.01}], train, workers=2).sentence()
        '2 of 2 succeeded (2 reused)'

    Args:
        configs: a list of mappings, a `SweepSpec`, or the path of a sweep file.
        experiment: a function `fn(ctx) -> dict | None`, or its path `package.module:function`; a
            command line `command:python train.py --lr {lr}`; a Hydra app `hydra:path/to/app.py`.
        name: the sweep's name; by default the sweep file's stem or the function's name.
        project: by default the name of git's top folder, else of the working folder.
        results_root: the folder that gets the run folders; by default `results/` in git's top
            folder, else in the working folder.
        mode: sequential, process_pool (the default), joblib, dynamic, thread, dask or ray.
        address: the cluster's address for modes `dask` and `ray`; by default a cluster is started
            on this machine for this sweep.
        workers: how many runs execute at once; by default as many as there are usable cores.
        cpu_threshold: mode `dynamic` starts no new run while the CPU is busier than this, in
            percent.
        cpu_limit: the name of the concurrency limit on Prefect's server that shows and sets how
            many runs execute at once in mode `dynamic`.
        limits: other concurrency limits on Prefect's server that each run takes slots of:
            `{"license": 2}`, or `{"license": {"limit": 2, "slots": 1, "where": {"model":
            "patchtst"}}}` for some configs only.
        max_attempts: how often a config is tried at most, the first attempt included.
        retry_on: exception names and causes of failure (`timeout`, `out of memory`) after which a
            run is tried again; `Exception` matches all.
        not_on: exception names and causes of failure that are never retried.
        delay_s: seconds before the second attempt.
        backoff: the factor by which the delay grows with each further attempt.
        timeout_s: seconds after which an attempt is ended.
        timeout: a time limit that follows the runs: `5x` is five times their median duration.
        fresh_process: start a new worker process for each attempt.
        max_runs_per_worker: attempts after which a worker process is replaced.
        stop_grace_s: seconds that experiments get to end by themselves after a stop or a timeout.
        order: `given`; `smoke_first` (first a few configs in which every value occurs once, then
            the longest runs first); or `shuffle`.
        max_failures: stop the sweep when this many configs have failed: a count, or `5%` of all.
        max_consecutive_failures: stop when this many have failed one after the other.
        fail_fast: stop at the first failure.
        max_runtime: stop the sweep after this time: seconds, or `2h`.
        breaker: when this many configs that share a value have failed with the same cause, and
            configs without that value have not, leave the other configs with that value unstarted.
        min_free_memory: start no new run while less memory is free: `4GB`, or `10%`.
        gpus: give each run a GPU of its own: `auto`, a list of GPU numbers, or 0 for none.
        slots_per_gpu: how many runs share a GPU.
        metadata: what `meta.json` says of every run.
        tracker_specs: trackers by name: `{"type": ..., "kwargs": {...}}`.
        trackers: tracker objects, for modes that run in this process.
        experiment_type: a label that the monitor shows.
        fresh: start a new batch and reuse nothing.
        on_code_change: what to do with earlier results of other code: `warn` reuses them and says
            so, `rerun` runs them again, `stop` refuses to start.
        search: draw configs with Optuna while the sweep runs; a mapping as in a sweep file.
            `configs` then holds at most one config, whose keys all trials have.
        job: templates for the names of runs, models and datasets: `{"id": "{model}-s{seed}"}`.
        ignore_keys: top-level keys that do not make a config a different one.
        raise_on_failure: raise SweepFailed when any config has failed.

    Returns:
        The counts of the sweep, whether configs failed or not; `summary.ok` is True where none has.

    Raises:
        BadInput: (a ValueError) an argument cannot be used; nothing has been started or written.
        SweepFailed: with `raise_on_failure`, some configs have failed.
        SweepStopped: (a KeyboardInterrupt) the sweep was stopped by Ctrl-C, SIGTERM, SIGHUP or a
            cancel, and everything is recorded.
    """
    given = dict(locals())  # every argument by its name: nothing else is defined yet
    del given["raise_on_failure"]
    summary = launch(resolve(**given))
    if raise_on_failure and not summary.ok:
        raise SweepFailed(summary)
    return summary
