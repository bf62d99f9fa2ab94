"""`RunContext`, what an experiment is called with, and the protocol of trackers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from argus_tasks.base import interrupts
from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.context_stack import ContextStack
from argus_tasks.base.files import dumps, open_to_append
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.runs.context.sink import NoMonitor, RunSink
from argus_tasks.runs.context.trial_reports import NoSearch, TrialSide
from argus_tasks.runs.record.layout import ARTIFACTS, CHECKPOINTS, METRICS_JSONL
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.process_usage import ProcessUsage

# The prefix of a metric's name on the monitor, by split.
_CURVE_OF = {"train": "train", "valid": "val", "val": "val", "validation": "val"}
_WITHOUT_SPLIT = ("lr", "batch_time_ms")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(slots=True)
class MetricEvent:
    """Metrics that an experiment logged at one step: one line of `metrics.jsonl`.

    Examples:
        >>> from argus_tasks import MetricEvent
        >>> event = MetricEvent(3, "2026-01-31T12:00:00+00:00", {"loss": 0.25}, split="valid")
        >>> event.to_dict()["metrics"]
        {'loss': 0.25}

    Attributes:
        step: epoch or global step.
        timestamp: when it was logged: ISO 8601, UTC.
        metrics: numbers by metric name.
        split: the part of the data: train, valid or test.
        phase: what the experiment was doing: fit, eval or infer.
    """

    step: int
    timestamp: str
    metrics: dict[str, Any]
    split: str = "train"
    phase: str = "fit"

    def to_dict(self) -> dict[str, Any]:
        """The event as a dict.

        Returns:
            Every attribute by its name.
        """
        return asdict(self)


@runtime_checkable
class Tracker(Protocol):
    """The three methods that a tracker implements; any object that has them is one.

    A tracker never fails a run: an exception in it becomes a line of `run.log`. A call may take 5
    seconds, or the tracker's attribute `limit_s`; a tracker that takes longer is not called again.
    All calls come from one thread.

    Examples:
        >>> from argus_tasks import ExpRunner
        >>> class PrintTracker:
        ...     def on_run_start(self, ctx, meta):
        ...         print("start", ctx.config)
        ...     def on_metric(self, ctx, event):
        ...         print("step", event.step, event.metrics)
        ...     def on_run_end(self, ctx, summary):
        ...         print("end", summary["status"])
        >>> def train(ctx):
        ...     ctx.log_metric(0, {"loss": 0.5})
        >>> _ = ExpRunner([{"lr": 1}], "results", train).run(trackers=[PrintTracker()])
        start {'lr': 1}
        step 0 {'loss': 0.5}
        end succeeded
    """

    def on_run_start(self, ctx: RunContext, meta: RunMetadata) -> None:
        """Called before the run's first attempt starts.

        Args:
            ctx: the run.
            meta: the run's metadata.
        """

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """Called each time the experiment logs metrics.

        Args:
            ctx: the run.
            event: step, time and numbers.
        """

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """Called when the run has ended.

        Args:
            ctx: the run.
            summary: `run_id`, `status`, `error_type`, `error_message`, `retry_count`, `attempt`.
        """


@dataclass(slots=True)
class RunContext:
    """What an experiment is called with: its config, its folder, a logger, and methods to log.

    Examples:
        >>> from argus_tasks import ExpRunner
        >>> def train(ctx):
        ...     start = ctx.checkpoints_dir / "step"
        ...     first = int(start.read_text()) if start.exists() else 0
        ...     for step in range(first, 3):
        ...         ctx.log_metric(step, {"loss": ctx.config["lr"] / (step + 1)})
        ...         start.write_text(str(step + 1))
        ...         if ctx.stopped:
        ...             return None
        ...     (ctx.artifacts_dir / "note.txt").write_text("done")
        ...     return {"loss": ctx.config["lr"] / 3}
        >>> ExpRunner([{"lr": 0.3}], "results", train).run().sentence()
        '1 of 1 succeeded'

    Attributes:
        run_id: the run's id, which is also the name of its folder.
        run_dir: the run's folder, an absolute path.
        config: a copy of the config that the experiment may change.
        logger: a standard logger whose lines go to `run.log`.
        meta: the run's metadata.
        attempt: the number of this attempt, from 1.
        resumed: True when an earlier attempt was stopped or killed; its checkpoints are in
            `checkpoints_dir`.
    """

    run_id: str
    run_dir: Path
    config: dict[str, Any]
    logger: logging.Logger
    meta: RunMetadata = field(default_factory=RunMetadata)
    attempt: int = 1
    resumed: bool = False
    _trackers: Sequence[Tracker] = field(default=(), repr=False)
    _stop: Callable[[], bool] = field(default=bool, repr=False)
    _saw_stop: bool = field(default=False, repr=False)
    _metrics_fd: int | None = field(default=None, repr=False)
    _sink: RunSink = field(default_factory=NoMonitor, repr=False)
    _trial: TrialSide = field(default_factory=NoSearch, repr=False)
    _saw_prune: bool = field(default=False, repr=False)
    _epochs: int = field(default=0, repr=False)
    _last_epoch: int | None = field(default=None, repr=False)
    _below: list[ProcessUsage] = field(default_factory=list, repr=False)
    """Resource usage of processes that did the run's work in place of this one."""

    @staticmethod
    def current() -> RunContext | None:
        """The run that is executing, for code that is not passed the context, such as a Hydra app.

        Returns:
            The context; None outside a sweep, and in a script that a sweep runs.
        """
        return running.current()

    @property
    def artifacts_dir(self) -> Path:
        """The folder for files that the experiment wants to keep."""
        return self.run_dir / ARTIFACTS

    @property
    def checkpoints_dir(self) -> Path:
        """The folder for checkpoints; the next attempt finds the last attempt's files there."""
        return self.run_dir / CHECKPOINTS

    @property
    def stopped(self) -> bool:
        """True once the sweep is being stopped: save a checkpoint, then return or raise.

        A run that has read True is recorded as stopped, whatever it returns; the next start of the
        sweep resumes it in the same folder.
        """
        self._saw_stop = self._saw_stop or self._stop()
        return self._saw_stop

    @interrupts.deferring()
    def log_metric(
        self,
        step: int,
        metrics: Mapping[str, Any],
        split: str = "train",
        phase: str = "fit",
    ) -> None:
        """Log metrics at a step: append a line to `metrics.jsonl` and call the trackers.

        The monitor shows it as an epoch when the phase is fit, the split is train or valid and the
        step is 0 or more; it then calls `loss` by the name `train_loss` or `val_loss`, and so on.

        Args:
            step: epoch or global step.
            metrics: numbers by metric name; infinity and NaN are written as null, with a warning
                in `run.log`.
            split: the part of the data: train, valid or test.
            phase: what the experiment is doing: fit, eval or infer.

        Raises:
            OSError: `metrics.jsonl` cannot be written, for example on a full disk.
        """
        self._write_metric(step, metrics, split, phase)
        curve = _CURVE_OF.get(split) if phase == "fit" and int(step) >= 0 else None
        if curve is not None:
            self._emit_epoch(int(step), {curve_name(key, curve): metrics[key] for key in metrics})

    @interrupts.deferring()
    def epoch(self, epoch: int, **metrics: Any) -> None:
        """Log an epoch's metrics under the monitor's names; otherwise as `log_metric`.

        Args:
            epoch: the epoch's number.
            metrics: numbers by metric name, such as `train_loss`, `val_loss`, `lr`,
                `batch_time_ms` (milliseconds).

        Raises:
            OSError: `metrics.jsonl` cannot be written, for example on a full disk.
        """
        self._write_metric(epoch, metrics, "train", "fit")
        self._emit_epoch(epoch, metrics)

    @interrupts.deferring()
    def report(self, step: int, value: float) -> None:
        """Report an intermediate value of the search's metric, for its pruner.

        Outside a search nothing happens. `should_prune` has an example.

        Args:
            step: epoch or global step, 0 or more; of several reports of a step the first counts.
            value: the metric's value at this step.

        Raises:
            ValueError: the step is negative.
        """
        number = int(step)
        if number < 0:
            raise ValueError(f"step is {step!r}; expected 0 or more")
        self._trial.report(number, float(value))

    def should_prune(self) -> bool:
        """Ask whether the search has pruned this trial.

        The answer to a report arrives about 0.1 s later; asking takes microseconds. A run that has
        got True is recorded as pruned, whatever it returns.

        Examples:
            >>> from argus_tasks import ExpRunner
            >>> def train(ctx):
            ...     for step in range(3):
            ...         ctx.report(step, 1 / (step + 1))
            ...         if ctx.should_prune():
            ...             return None
            ...     return {"loss": 1 / 3}
            >>> ExpRunner([{"lr": 0.3}], "results", train).run().succeeded
            1

        Returns:
            True once the trial is pruned: return, or raise `SkipRun`. False outside a search.
        """
        self._saw_prune = self._saw_prune or self._trial.should_prune()
        return self._saw_prune

    @interrupts.deferring()
    def log(self, message: str, level: str = "INFO") -> None:
        """Write a line to `run.log` and to the monitor's log view.

        Args:
            message: the text.
            level: DEBUG, INFO, WARNING or ERROR.
        """
        self.logger.log(_LEVELS.get(level.lower(), logging.INFO), "%s", message)
        self._sink.log(message, level)

    @interrupts.deferring()
    def upload(self, path: str | Path, *, glob: str = "**/*.png") -> int:
        """Send a picture, a PDF, or a folder's files to the monitor, in the background.

        Args:
            path: a file or a folder; a relative path starts at the run's folder. Files are read
                when they are sent, so leave them unchanged.
            glob: which files of a folder to send.

        Returns:
            How many files will be sent; 0 without a monitor.
        """
        return self._sink.upload(self.run_dir / path, glob=glob)

    def _emit_epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        if epoch != self._last_epoch:
            self._last_epoch = epoch
            self._epochs += 1
        self._sink.epoch(epoch, numbers)

    def _write_metric(self, step: int, metrics: Mapping[str, Any], split: str, phase: str) -> None:
        nonfinite: dict[str, str] = {}
        event = MetricEvent(int(step), utc_now_iso(), dict(metrics), split, phase)
        line = {
            "step": event.step,
            "timestamp": event.timestamp,
            "metrics": to_jsonable(event.metrics, nonfinite),
            "split": str(split),
            "phase": str(phase),
        }
        if nonfinite:
            self.logger.warning("step %s: not finite, written as null: %s", step, nonfinite)
        os.write(self._metrics_file(), (dumps(line) + "\n").encode("utf-8"))
        for tracker in self._trackers:
            try:
                tracker.on_metric(self, event)
            except Exception as error:  # noqa: BLE001 - a tracker never ends a run
                self.logger.warning("%s.on_metric failed: %r", type(tracker).__name__, error)

    def _metrics_file(self) -> int:
        if self._metrics_fd is None:
            path = os.path.join(self.run_dir, METRICS_JSONL)  # noqa: PTH118 - hot path
            self._metrics_fd = open_to_append(path)
        return self._metrics_fd

    def _close(self) -> None:
        self._trial.close()
        if self._metrics_fd is not None:
            os.close(self._metrics_fd)
            self._metrics_fd = None


def curve_name(name: str, curve: str) -> str:
    """A metric's name on the monitor: `loss` of split train is `train_loss`.

    Names that already have a prefix, and names such as `lr`, stay as they are.
    """
    whose = name in _WITHOUT_SPLIT or str(name).startswith(("train_", "val_"))
    return str(name) if whose else f"{curve}_{name}"


running: ContextStack[RunContext] = ContextStack("run")
"""The run whose experiment is being called."""
