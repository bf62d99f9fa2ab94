"""Track runs in MLflow: one MLflow run for each run, whichever worker executes its attempts."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from argus_tasks.base.extras import need
from argus_tasks.base.files import write_text_whole
from argus_tasks.base.locks import locked
from argus_tasks.base.settings import state_home
from argus_tasks.integrations.tracked import name_of, points_of, results_of, shown, texts_of
from argus_tasks.runs.context.run_context import MetricEvent, RunContext
from argus_tasks.runs.record.metadata import RunMetadata

_NOTE = ".mlflow_run_id"
"""A file in the run folder with the MLflow run's id, with which a later attempt continues."""

_DEFAULT_EXPERIMENT = "argus-tasks"
_WAIT_S = 45.0
_UNFIT = re.compile(r"[^\w\-. :/]")
_LONGEST_VALUE = 6000
_LONGEST_TAG = 5000
_PARAMS_A_CALL = 100
_METRICS_A_CALL = 1000


class MlflowTracker:
    """Records runs in MLflow: config as parameters, curves and results as metrics, status as tags.

    In a sweep file it is the tracker `mlflow`. Needs the extra `mlflow`.

    Examples:
        sweep_flow(train, grid, trackers=[MlflowTracker("sqlite:///mlflow.db")])
    """

    limit_s = 30.0
    """How long a call may take, in seconds: a database that others write to may be locked."""

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        """Connect to MLflow.

        Args:
            tracking_uri: a server, `sqlite:///mlflow.db` or a folder; by default MLflow's own
                setting.
            experiment: the experiment's name; by default the run's `experiment_name`.

        Raises:
            MissingExtra: MLflow is not installed.
        """
        self.check()
        from mlflow import MlflowClient

        with _alone(tracking_uri):
            self._client = MlflowClient(tracking_uri=tracking_uri)
        self._experiment = experiment
        self._ids: dict[str, str] = {}
        self._last_steps: dict[str, int] = {}

    @staticmethod
    def check() -> None:
        """Raise MissingExtra where MLflow is not installed."""
        need("mlflow", "mlflow")

    def on_run_start(self, ctx: RunContext, meta: RunMetadata) -> None:  # noqa: ARG002 - a Tracker's
        """Create the MLflow run, or continue that of an earlier attempt."""
        mlflow_id = self._id_of(ctx)
        self._client.update_run(mlflow_id, status="RUNNING")
        from mlflow.entities import Param

        params = [
            Param(_fit(key), value[:_LONGEST_VALUE]) for key, value in texts_of(ctx.config).items()
        ]
        for start in range(0, len(params), _PARAMS_A_CALL):
            self._client.log_batch(mlflow_id, params=params[start : start + _PARAMS_A_CALL])

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """Log the numbers of a metric event."""
        last = self._last_steps.get(ctx.run_id, 0)
        self._last_steps[ctx.run_id] = max(last, event.step)
        self._log(ctx, points_of(event), event.step)

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """Log results, status and error, and end the MLflow run."""
        self._log(ctx, results_of(ctx, summary), self._last_steps.pop(ctx.run_id, 0))
        mlflow_id = self._id_of(ctx)
        for key in ("status", "error_type", "error_message", "attempt"):
            value = summary.get(key)
            if value is not None:
                self._client.set_tag(mlflow_id, f"argus.{key}", str(value)[:_LONGEST_TAG])
        self._client.set_terminated(mlflow_id, status=_status(summary))
        del self._ids[ctx.run_id]

    def _log(self, ctx: RunContext, numbers: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        points = [Metric(_fit(key), value, now_ms, step) for key, value in numbers.items()]
        for start in range(0, len(points), _METRICS_A_CALL):
            chunk = points[start : start + _METRICS_A_CALL]
            self._client.log_batch(self._id_of(ctx), metrics=chunk)

    def _id_of(self, ctx: RunContext) -> str:
        if ctx.run_id not in self._ids:
            note = ctx.run_dir / _NOTE
            try:
                self._ids[ctx.run_id] = note.read_text("utf-8").strip()
            except FileNotFoundError:
                self._ids[ctx.run_id] = self._make_run(ctx)
                write_text_whole(note, self._ids[ctx.run_id] + "\n")
        return self._ids[ctx.run_id]

    def _make_run(self, ctx: RunContext) -> str:
        name, batch_id = name_of(ctx)
        meta = ctx.meta
        tags: dict[str, Any] = {
            "argus.run_id": ctx.run_id,
            "argus.batch_id": batch_id,
            "argus.run_dir": str(ctx.run_dir),
            "argus.group": meta.group,
            "mlflow.source.git.commit": meta.git_commit,
            "mlflow.source.name": meta.started_cmd,
            **(meta.tags if isinstance(meta.tags, dict) else dict.fromkeys(meta.tags or (), "")),
        }
        made = self._client.create_run(
            self._experiment_id(self._experiment or meta.experiment_name or _DEFAULT_EXPERIMENT),
            tags={_fit(key): str(value) for key, value in shown(tags).items() if value is not None},
            run_name=name,
        )
        return str(made.info.run_id)

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            with suppress(Exception):  # another worker was quicker
                return str(self._client.create_experiment(name))
            found = self._client.get_experiment_by_name(name)
        if found is None:
            raise RuntimeError(
                f"the MLflow experiment {name!r} does not exist and cannot be created"
            )
        return str(found.experiment_id)


@contextmanager
def _alone(tracking_uri: str | None) -> Iterator[None]:
    """Hold a lock: two workers that create the tables of a new database at once would fail."""
    folder = state_home()
    folder.mkdir(parents=True, exist_ok=True)
    which = hashlib.sha256(str(tracking_uri).encode()).hexdigest()[:12]
    with locked(str(folder / f"mlflow-{which}.lock"), wait_s=_WAIT_S):
        yield


def _status(summary: Mapping[str, object]) -> str:
    if summary.get("status") != "failed":
        return "FINISHED"
    return "KILLED" if summary.get("error_type") == "Stopped" else "FAILED"


def _fit(name: str) -> str:
    """A name of a parameter, metric or tag with the characters and length that MLflow allows."""
    return _UNFIT.sub("_", name)[:250]
