"""Weights & Biases as a tracker: a run there for each run, with the same id."""

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
    """Config, curves over `step`, results as the summary, the exit code by the status."""

    limit_s = 30.0
    """A run that begins waits for wandb's server."""

    def __init__(
        self, project: str | None = None, entity: str | None = None, mode: str | None = None
    ) -> None:
        """`project`: by default the run's `experiment_name`. `mode`: online, offline or disabled;
        by default what wandb is set to."""
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
        """Open the run there."""
        self._run_of(ctx)

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """A point of the curves."""
        # As a number of ours: wandb's own step may never go back.
        self._run_of(ctx).log({**points_of(event), _STEP: event.step})

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """Results, status, error; then close it."""
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
                # What the run prints is in its log already. The command line that wandb would look
                # up itself is left out where it holds a secret, with all else that comes with it.
                settings=self._wandb.Settings(
                    console="off", silent=True, x_disable_meta=holds_secrets(shlex.join(sys.argv))
                ),
            )
            run.define_metric("*", step_metric=_STEP)
            self._runs[ctx.run_id] = run
        return self._runs[ctx.run_id]
