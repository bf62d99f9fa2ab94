"""Track runs in Weights & Biases: one run there for each run, with the same id."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from argus_tasks.base.extras import need
from argus_tasks.base.redact import holds_secrets
from argus_tasks.integrations.tracked import name_of, points_of, results_of, shown
from argus_tasks.runs.context.run_context import MetricEvent, RunContext
from argus_tasks.runs.record.metadata import RunMetadata

_STEP = "step"


class WandbTracker:
    """Records a run in Weights & Biases: config, curves over `step`, results as summary, exit code.

    In a sweep file it is the tracker `wandb`. Needs the extra `wandb`.

    Examples:
        sweep_flow(train, grid, trackers=[WandbTracker("forecast", mode="offline")])
    """

    limit_s = 30.0
    """How long a call may take, in seconds: the start of a run waits for wandb's server."""

    def __init__(
        self, project: str | None = None, entity: str | None = None, mode: str | None = None
    ) -> None:
        """Prepare the tracker.

        Args:
            project: the project's name; by default the run's `experiment_name`.
            entity: the user or team; by default wandb's own setting.
            mode: online, offline or disabled; by default wandb's own setting.

        Raises:
            MissingExtra: wandb is not installed.
        """
        self.check()
        import wandb

        self._wandb: Any = wandb
        self._project = project
        self._entity = entity
        self._mode = mode
        self._runs: dict[str, Any] = {}

    @staticmethod
    def check() -> None:
        """Raise MissingExtra where wandb is not installed."""
        need("wandb", "wandb")

    def on_run_start(self, ctx: RunContext, meta: RunMetadata) -> None:  # noqa: ARG002 - a Tracker's
        """Open the run in Weights & Biases."""
        self._run_of(ctx)

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """Log the numbers of a metric event."""
        # As a metric of its own: wandb's step may never decrease.
        self._run_of(ctx).log({**points_of(event), _STEP: event.step})

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """Log results, status and error, and close the run."""
        run = self._run_of(ctx)
        said = {f"argus/{key}": summary[key] for key in ("status", "error_type", "attempt")}
        run.summary.update({**results_of(ctx, summary), **said})
        run.finish(exit_code=int(summary.get("status") == "failed"))
        del self._runs[ctx.run_id]

    def _run_of(self, ctx: RunContext) -> Any:
        if ctx.run_id not in self._runs:
            name, batch_id = name_of(ctx)
            meta = ctx.meta
            tags = meta.tags
            if isinstance(tags, dict):
                tags = [f"{key}={value}" for key, value in shown(tags).items()]
            run = self._wandb.init(
                id=ctx.run_id,
                resume="allow",
                reinit="create_new",
                project=self._project or meta.experiment_name or "argus-tasks",
                entity=self._entity,
                mode=self._mode,
                name=name,
                group=meta.group or batch_id or None,
                tags=[tag[:64] for tag in tags or ()],
                config=shown(ctx.config),
                dir=str(ctx.run_dir),
                # The run's output is in its log already. wandb looks up the command line itself, so
                # its metadata is turned off where the command line holds a secret.
                settings=self._wandb.Settings(
                    console="off", silent=True, x_disable_meta=holds_secrets(shlex.join(sys.argv))
                ),
            )
            run.define_metric("*", step_metric=_STEP)
            self._runs[ctx.run_id] = run
        return self._runs[ctx.run_id]
