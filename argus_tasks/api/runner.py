"""`ExpRunner`: the runner's call of the older package, running through the flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from argus_tasks.api.launch import launch
from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import ExperimentFunction
from argus_tasks.planning.resolve import resolve
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.modes import Mode


class ExpRunner:
    """A list of configs and a function, as ztxexp has it: every config is run once.

    Nothing is reused, equal configs are not made one, and each call is a batch of its own.

    Args:
        configs: the configs, in order.
        results_root: the folder that gets a folder for each run.
        exp_function: `fn(ctx) -> dict | None`; `run` may be given one instead.
    """

    def __init__(
        self,
        configs: Sequence[Mapping[str, Any]],
        results_root: str | Path,
        exp_function: ExperimentFunction | None = None,
    ) -> None:
        self.configs = [dict(config) for config in configs]
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
        """Run all configs and say what they came to.

        Args:
            exp_function: the experiment; wins over the one given before.
            mode: sequential, process_pool, joblib, dynamic or thread.
            workers: how many run at once.
            cpu_threshold: `dynamic` starts nothing new above this percentage of the CPU.
            execution_mode: the older name of `mode`; wins where given.
            num_workers: the older name of `workers`; wins where given.
            dynamic_cpu_threshold: the older name of `cpu_threshold`; wins where given.
            metadata: what to say of every run in `meta.json`.
            max_attempts: tries for each config, the first one too.
            retry_on: names of exception classes to try again on.
            tracker_specs: trackers by name: `{"type": ..., "kwargs": {...}}`.
            trackers: live trackers.

        Returns:
            What it came to, whether configs failed or not.

        Raises:
            BadInput: (a ValueError) no function anywhere, or no such mode; nothing has been
                written.
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
