"""What an experiment is handed: its config, its folder, a logger, and where metrics go."""

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
from argus_tasks.base.files import dumps
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.runs.context.sink import NoMonitor, RunSink
from argus_tasks.runs.context.trial_reports import NoSearch, TrialSide
from argus_tasks.runs.record.layout import ARTIFACTS, CHECKPOINTS, METRICS_JSONL
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.process_usage import ProcessUsage

# The part of a metric's name on the monitor that says which data it is of.
_CURVE_OF = {"train": "train", "valid": "val", "val": "val", "validation": "val"}
_OF_NO_SPLIT = ("lr", "batch_time_ms")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(slots=True)
class MetricEvent:
    """One line of `metrics.jsonl`.

    Attributes:
        step: epoch or global step.
        timestamp: ISO 8601, UTC.
        metrics: names and numbers.
        split: which data: train, valid, test.
        phase: what was being done: fit, eval, infer.
    """

    step: int
    timestamp: str
    metrics: dict[str, Any]
    split: str = "train"
    phase: str = "fit"

    def to_dict(self) -> dict[str, Any]:
        """The event as a dict."""
        return asdict(self)


@runtime_checkable
class Tracker(Protocol):
    """What a tracker implements.

    One that raises costs a log line. So does one that hangs, and it is not called again: a call may
    take 5 s, or what the tracker has as `limit_s`. All calls come from one thread.
    """

    def on_run_start(self, ctx: RunContext, meta: RunMetadata) -> None:
        """The run's first attempt is about to start."""

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """The experiment logged metrics."""

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """The run has ended.

        `summary` has `run_id`, `status`, `error_type`, `error_message`, `retry_count`, `attempt`.
        """


@dataclass(slots=True)
class RunContext:
    """What an experiment function is called with.

    Attributes:
        run_id: the run's id, and its folder's name.
        run_dir: the run's folder, absolute.
        config: the config, a copy of the run's own.
        logger: its lines go to `run.log`.
        meta: the run's metadata.
        attempt: which try this is, from 1.
        resumed: True where an earlier try was cut off; look into `checkpoints_dir`.
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
    """What the process that did the run's work in place of this one has used."""

    @staticmethod
    def current() -> RunContext | None:
        """The run whose experiment is being called, for code that is not handed it, such as a Hydra
        app; None outside of a sweep, and in scripts that it runs."""
        return running.current()

    @property
    def artifacts_dir(self) -> Path:
        """Where the run's own files go."""
        return self.run_dir / ARTIFACTS

    @property
    def checkpoints_dir(self) -> Path:
        """Where checkpoints go; a retried or resumed run finds its last try's files there."""
        return self.run_dir / CHECKPOINTS

    @property
    def stopped(self) -> bool:
        """True once the sweep is being stopped: save what you need and return or raise.

        A run that has seen True is recorded as stopped, whatever it returns; the next start of
        the sweep takes it up in the same folder.
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
        """Append a point of the run's curves to `metrics.jsonl` and tell the trackers.

        A monitor shows it as an epoch where the phase is fit, the split train or valid, and the
        step 0 or more; `loss` is its `train_loss` or `val_loss` then, and so on.

        Args:
            step: epoch or global step.
            metrics: names and numbers; one that is not finite is written as null, and logged.
            split: which data: train, valid, test.
            phase: what was being done: fit, eval, infer.
        """
        self._note_metric(step, metrics, split, phase)
        curve = _CURVE_OF.get(split) if phase == "fit" and int(step) >= 0 else None
        if curve is not None:
            self._tell_epoch(int(step), {curve_name(key, curve): metrics[key] for key in metrics})

    @interrupts.deferring()
    def epoch(self, epoch: int, **metrics: Any) -> None:
        """An epoch's numbers: a line of `metrics.jsonl`, and a point of the monitor's curves.

        Args:
            epoch: which one, a whole number.
            metrics: `train_loss`, `val_loss`, `lr`, `batch_time_ms` and whatever else there is.
        """
        self._note_metric(epoch, metrics, "train", "fit")
        self._tell_epoch(epoch, metrics)

    @interrupts.deferring()
    def report(self, step: int, value: float) -> None:
        """Tell a search's pruner how the trial is doing; without a search nothing happens.

        Args:
            step: epoch or global step, 0 or more; of several reports of a step the first counts.
            value: what the metric is now.
        """
        number = int(step)
        if number < 0:
            raise ValueError(f"step is {step!r}; expected 0 or more")
        self._trial.report(number, float(value))

    def should_prune(self) -> bool:
        """True once the search has given the trial up: return, or raise `SkipRun`.

        It is the last word that has come, a tenth of a second or so after the report; it costs
        microseconds. A run that has seen True is recorded as pruned, whatever it returns.
        """
        self._saw_prune = self._saw_prune or self._trial.should_prune()
        return self._saw_prune

    @interrupts.deferring()
    def log(self, message: str, level: str = "INFO") -> None:
        """A line for `run.log` and the monitor; `level` is DEBUG, INFO, WARNING or ERROR."""
        self.logger.log(_LEVELS.get(level.lower(), logging.INFO), "%s", message)
        self._sink.log(message, level)

    @interrupts.deferring()
    def upload(self, path: str | Path, *, glob: str = "**/*.png") -> int:
        """Send a picture or PDF, or a folder's files that match `glob`, to the monitor.

        A relative path starts at the run's folder. The files are read when their turn comes.
        Returns how many were taken; 0 without a monitor.
        """
        return self._sink.upload(self.run_dir / path, glob=glob)

    def _tell_epoch(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        if epoch != self._last_epoch:
            self._last_epoch = epoch
            self._epochs += 1
        self._sink.epoch(epoch, numbers)

    def _note_metric(self, step: int, metrics: Mapping[str, Any], split: str, phase: str) -> None:
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
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._metrics_fd = os.open(path, flags, 0o666)
        return self._metrics_fd

    def _close(self) -> None:
        self._trial.close()
        if self._metrics_fd is not None:
            os.close(self._metrics_fd)
            self._metrics_fd = None


def curve_name(name: str, curve: str) -> str:
    """`loss` of the training data is `train_loss`; what says whose it is keeps its name."""
    whose = name in _OF_NO_SPLIT or str(name).startswith(("train_", "val_"))
    return str(name) if whose else f"{curve}_{name}"


running: ContextStack[RunContext] = ContextStack("run")
"""The run whose experiment is being called."""
