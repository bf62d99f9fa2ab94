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
    configs: Sequence[Any] | SweepSpec | str | Path,
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
    inputs: Sequence[str] | None = None,
    freeze: bool | None = None,
    code_include: Sequence[str] | None = None,
    code_exclude: Sequence[str] | None = None,
    raise_on_failure: bool = False,
) -> RunSummary:
    """Run an experiment over a list of configs; each config is a Prefect task run with a folder.

    Nothing needs to be started beforehand: where no Prefect server is configured, one is started.
    An option that is None comes from the sweep file, else from the defaults. Configs that succeeded
    earlier under the same results root are not run again; their results are reused.

    Examples:
        >>> from argus_tasks import sweep_flow
        >>> def train(ctx):
        ...     return {"loss": ctx.config["lr"] ** 2}
        >>> summary = sweep_flow([{"lr": 0.1}, {"lr": 0.01}], train, workers=2)
        >>> summary.sentence()
        '2 of 2 succeeded'
        >>> sweep_flow([{"lr": 0.1}, {"lr": 0.01}], train, workers=2).sentence()
        '2 of 2 succeeded (2 reused)'

    Args:
        configs: a list of mappings, dataclasses or pydantic models; a `SweepSpec`; or the path of
            a sweep file.
        experiment: a function `fn(ctx) -> dict | None`, or its path `package.module:function`; a
            command line `command:python train.py --lr {lr}`; a Hydra app `hydra:path/to/app.py`.
        name: The name of the sweep. By default, the name of the sweep file without its suffix;
            without a file, the name of the function or script.
        project: The name of the project on the monitor. By default, the name of the Git
            repository's top folder, or of the working folder outside of a repository.
        results_root: The folder that the run folders are written to. A relative path in a sweep
            file is relative to the file's folder; in a call or on the command line, to the working
            folder. By default, `results` in the Git repository's top folder, or in the working
            folder outside of a repository.
        mode: Where experiments run: `process_pool` (also named `joblib`) in worker processes;
            `dynamic` in worker processes, with new attempts held back while the CPUs are busy;
            `thread` on threads of the calling process; `sequential` one after the other in the
            calling process; `dask` or `ray` on a cluster. By default, `process_pool`.
        address: Modes `dask` and `ray` only: the address of the cluster, such as
            `tcp://10.0.0.1:8786`. By default, the sweep starts a cluster on this machine and ends
            it afterwards.
        workers: The largest number of runs at the same time. By default `auto`: one for each CPU
            that this process may use, or one for each GPU slot where `gpus` is given.
        cpu_threshold: Mode `dynamic` only: no attempt is started while the CPUs are busier than
            this, in percent. By default, 80.
        cpu_limit: Mode `dynamic` only: the name of the global concurrency limit on Prefect's server
            that shows how many runs may be active at the same time, and where a person can set that
            number. By default, `argus-sweep-cpu-` followed by the host's name.
        limits: Global concurrency limits on Prefect's server that attempts take slots of, by name,
            such as `license: 2`. Everything on the server that uses the same name shares the slots.
            By default, none.
        max_attempts: The largest number of attempts of a run, the first one included. By default 1:
            a failed run is not retried.
        retry_on: The failures after which a run is retried: names of exception classes (subclasses
            are included) and of causes (`timeout`, `out of memory`, `disk full`, `node lost`, `exit
            CODE`, `signal NAME`). By default `Exception`: every exception, and every death of a
            worker process.
        not_on: The failures after which a run is never retried, named as in `retry_on`, which they
            overrule. By default, none.
        delay_s: The time in seconds to wait before the second attempt. By default, 0.
        backoff: The factor by which each wait is longer than the one before it. By default 1: all
            waits are equally long.
        timeout_s: The longest time that an attempt may take, in seconds. An attempt that takes
            longer is ended, with the cause `timeout`. By default, there is no limit.
        timeout: The longest time that an attempt may take, as a multiple of the median duration of
            the attempts that have succeeded, such as `5x`. Where `timeout_s` is given as well, the
            shorter limit counts. By default, there is no such limit.
        fresh_process: Run each attempt in a new process. By default, a worker process runs one
            attempt after the other.
        max_runs_per_worker: The number of attempts after which a worker process is replaced by a
            new one. By default, workers are not replaced.
        nice: The niceness of worker processes, from 0 to 19: a higher value leaves more CPU time to
            other processes. It is added to the niceness of the sweep's own process. By default,
            nothing is added.
        stop_grace_s: The time in seconds that a running attempt gets to end by itself after a stop
            or at its time limit, before it is killed. By default, 2.
        order: The order in which configs are started: `given` as in the file; `smoke_first` first a
            few configs that together contain every value, then those that are expected to take
            longest; `shuffle` at random. By default, `given`.
        max_failures: Stop the sweep when this many configs have failed: a number, or a share of all
            configs such as `5%`. By default, there is no such rule.
        max_consecutive_failures: Stop the sweep when this many configs have failed one after the
            other. By default, there is no such rule.
        fail_fast: Stop the sweep when the first config has failed. By default, it goes on.
        max_runtime: Stop the sweep when this much time has passed since its start: a number of
            seconds, or a time such as `2h`, `90m` or `1h30m`. By default, there is no limit.
        breaker: Start no more configs with a value once this many configs with that value have
            failed in the same way, while configs without it succeed. By default, there is no such
            rule.
        min_free_memory: No attempt is started while less memory than this is free: an amount such
            as `4GB`, or a share of the memory such as `10%`. By default, free memory is not
            checked.
        gpus: The GPUs that runs use, one for each run: `auto` for all GPUs of this machine, a list
            of GPU numbers, or `0` for none. By default, GPUs are not assigned.
        slots_per_gpu: The number of runs that share a GPU at the same time. By default, 1.
        metadata: what to say of every run in `meta.json`.
        tracker_specs: Experiment trackers that receive the start, the metrics and the end of each
            run, such as `mlflow`. By default, none. Each is a mapping such as `{"type": "mlflow",
            "kwargs": {...}}`.
        trackers: live trackers.
        experiment_type: The kind of experiment, shown on the monitor, such as `forecast`. By
            default, `sweep`.
        fresh: a new batch; nothing is reused.
        on_code_change: What to do with earlier runs that were made by a different version of the
            code: `warn` uses them and prints a warning, `rerun` runs them again, `stop` refuses to
            start. By default, `warn`.
        search: Draw the configs while the sweep runs, as trials of an Optuna study. By default, all
            configs are made before the start. The keys are those of the sweep file's section;
            `configs` then holds at most one config, the base of all trials.
        job: Templates for the names of jobs, filled with the values of each config.
        ignore_keys: Top-level keys of a config that do not count when configs are compared, such as
            `device`: configs that differ only in them are equal. By default, all keys count.
        inputs: Data files that runs read, as paths and glob patterns relative to the sweep file's
            folder: earlier runs with other content count as made by other code. By default, data
            does not count.
        freeze: Run the sweep from a copy of the code that is taken at its start, so that the files
            can be edited meanwhile. By default, it runs from the files.
        code_include: Files that count as code though nothing sees that they are executed, as paths
            and glob patterns relative to the sweep file's folder. By default, none.
        code_exclude: Patterns of files whose changes do not count, by their paths below the
            project's top folder, such as `plots/*`. By default, none.
        raise_on_failure: raise SweepFailed where any config failed.

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
