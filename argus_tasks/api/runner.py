"""`ExpRunner`: the same call as in ztxexp, run by Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from argus_tasks.api.launch import launch
from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import ExperimentFunction
from argus_tasks.planning.request import checked_configs
from argus_tasks.planning.resolve import resolve
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.modes import Mode


class ExpRunner:
    """Run a function on each config of a list, with ztxexp's call.

    Unlike `sweep_flow` it reuses no earlier result, runs equal configs as often as they are listed,
    and makes a new batch with each call of `run`.

    Examples:
        >>> from argus_tasks import ExpRunner
        >>> runner = ExpRunner([{"x": 1}, {"x": 2}], "results", lambda ctx: {"y": ctx.config["x"]})
        >>> runner.run(mode="sequential").succeeded
        2

    Args:
        configs: the configs, in order: mappings, dataclasses or pydantic models.
        results_root: the folder that gets a folder for each run.
        exp_function: the experiment, `fn(ctx) -> dict | None`; may be given to `run` instead.
    """

    def __init__(
        self,
        configs: Sequence[Any],
        results_root: str | Path,
        exp_function: ExperimentFunction | None = None,
    ) -> None:
        self.configs = list(checked_configs(configs))
        self.results_root = Path(results_root)
        self.exp_function = exp_function

    def run(
        self,
        exp_function: ExperimentFunction | None = None,
        mode: str = "sequential",
        workers: int = 1,
        cpu_threshold: float = 80,
        execution_mode: str | None = None,
        num_workers: int | None = None,
        dynamic_cpu_threshold: float | None = None,
        metadata: RunMetadata | None = None,
        max_attempts: int = 1,
        retry_on: Sequence[str] = ("Exception",),
        tracker_specs: Sequence[Mapping[str, Any]] | None = None,
        trackers: Sequence[Tracker] | None = None,
    ) -> RunSummary:
        """Run every config and wait for the end.

        Args:
            exp_function: the experiment; by default the one given to `ExpRunner`.
            mode: sequential, process_pool, joblib, dynamic or thread.
            workers: how many runs execute at once.
            cpu_threshold: mode `dynamic` starts no new run while the CPU is busier than this, in
                percent.
            execution_mode: ztxexp's older name of `mode`; where given, it is used.
            num_workers: the older name of `workers`; where given, it is used.
            dynamic_cpu_threshold: the older name of `cpu_threshold`; where given, it is used.
            metadata: what `meta.json` says of every run.
            max_attempts: how often a config is tried at most, the first attempt included.
            retry_on: names of exception classes after which a run is tried again.
            tracker_specs: trackers by name: `{"type": ..., "kwargs": {...}}`.
            trackers: tracker objects, for modes that run in this process.

        Returns:
            The counts of the sweep, whether configs failed or not.

        Raises:
            BadInput: (a ValueError) no function was given, or an argument cannot be used; nothing
                has been started or written.
            SweepStopped: (a KeyboardInterrupt) the sweep was stopped, and everything is recorded.
        """
        experiment = exp_function or self.exp_function
        if experiment is None:
            raise BadInput("exp_function is missing; expected a function, here or in ExpRunner().")
        chosen = mode if execution_mode is None else execution_mode
        if not self.configs:
            return RunSummary(0, 0, 0, 0, 0.0)
        return launch(
            resolve(
                self.configs,
                experiment,
                results_root=self.results_root,
                mode=cast("Mode", chosen),
                workers=workers if num_workers is None else num_workers,
                cpu_threshold=(
                    cpu_threshold if dynamic_cpu_threshold is None else dynamic_cpu_threshold
                ),
                metadata=metadata,
                max_attempts=max_attempts,
                retry_on=retry_on,
                tracker_specs=tracker_specs,
                trackers=trackers,
                reuse=False,
            )
        )
