"""`JobContext`: reports one job of a batch, from any training script."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from argus_tasks.base.context_stack import ContextStack
from argus_tasks.base.errors import SkipRun
from argus_tasks.base.guard import guarded, swallow
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.base.script_metrics import record_metrics
from argus_tasks.delivery.events import EPOCH
from argus_tasks.delivery.uploads import upload_record
from argus_tasks.reporting.sinks import Sink

log = logging.getLogger("argus_tasks")

_ERROR_TEXT = 8000
_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".pdf", ".svg"})
_KNOWN_NUMBERS = ("train_loss", "val_loss", "lr", "batch_time_ms")


class Batch(Protocol):
    """What a job needs of its batch."""

    @property
    def stopped(self) -> bool:
        """Whether a stop of the batch was requested."""
        ...

    def job_opened(self, job_id: str) -> None:
        """Record that the job has started."""

    def job_closed(self, job_id: str, *, failed: bool) -> None:
        """Record that the job has ended."""


class JobContext:
    """One job of a batch, made by `Reporter.job`: `job_start` when it is entered, `job_done` or
    `job_failed` when it is left.

    Nothing here raises into user code or waits for the network. An exception that leaves the block
    is reported and passes on; `SkipRun` ends the job as skipped.

    Examples:
        >>> from argus_tasks import Reporter
        >>> with Reporter("bench") as reporter, reporter.job("mlp", dataset="digits") as job:
        ...     for epoch in range(3):
        ...         job.epoch(epoch, train_loss=1.0 / (epoch + 1), lr=1e-3)
        ...         if job.stopped:
        ...             break
        ...     job.metrics({"accuracy": 0.93})
        ...     job.log("done")
    """

    def __init__(
        self,
        batch: Batch,
        sink: Sink,
        job_id: str,
        *,
        labels: dict[str, Any],
        keep_metrics: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Made by `Reporter.job`.

        Args:
            batch: the batch.
            sink: where the events go.
            job_id: the job's id on the monitor.
            labels: the data of `job_start`.
            keep_metrics: given where somebody else reports the start and the end of the job; it is
                called with the metrics.
        """
        self._batch = batch
        self._sink = sink
        self._job_id = job_id
        self._labels = labels
        self._keep_metrics = keep_metrics
        self._metrics: dict[str, Any] = {}
        self._started = time.monotonic()
        self._pid = os.getpid()
        builder = sink.epochs(job_id)
        self._builder = builder
        self._line = builder.line
        self._append = sink.append
        self._stream = sink.stream

    @property
    def job_id(self) -> str:
        """The job's id on the monitor: its name and six hex digits of the batch's id."""
        return self._job_id

    @property
    def stopped(self) -> bool:
        """Whether somebody pressed the monitor's stop button. Once true it stays true."""
        return self._batch.stopped

    def epoch(
        self,
        epoch: int,
        *,
        train_loss: float | None = None,
        val_loss: float | None = None,
        lr: float | None = None,
        batch_time_ms: float | None = None,
        **extra: Any,
    ) -> None:
        """Report the numbers of one epoch: one point of the job's curves.

        Any value is accepted. One that is not finite is sent as null and named in the event.

        Args:
            epoch: the epoch's number, an integer.
            train_loss: the loss on the training data.
            val_loss: the loss on the validation data.
            lr: the learning rate.
            batch_time_ms: the mean time of a batch, in milliseconds.
            extra: more metrics, by name.

        Examples:
            >>> from argus_tasks import Reporter
            >>> with Reporter("bench") as reporter, reporter.job("mlp") as job:
            ...     job.epoch(0, train_loss=0.9, val_loss=1.1, lr=1e-3, accuracy=0.4)
        """
        try:
            self._append(
                self._line(epoch, train_loss, val_loss, lr, batch_time_ms, extra),
                EPOCH,
                self._stream,
            )
        except Exception:  # noqa: BLE001 - the guard, without its cost
            self._sink.interrupted()
            swallow("JobContext.epoch")
        except BaseException:
            self._sink.interrupted()
            raise

    def point(self, epoch: int, numbers: Mapping[str, Any]) -> None:
        """`epoch` with the metrics as a mapping, where a name may be that of an argument.

        Args:
            epoch: the epoch's number.
            numbers: the metrics, by name.
        """
        extra = dict(numbers)
        train_loss, val_loss, lr, batch_time_ms = (extra.pop(n, None) for n in _KNOWN_NUMBERS)
        try:
            line = self._line(epoch, train_loss, val_loss, lr, batch_time_ms, extra)
            self._append(line, EPOCH, self._stream)
        except Exception:  # noqa: BLE001 - the guard, without its cost
            self._sink.interrupted()
            swallow("JobContext.point")
        except BaseException:
            self._sink.interrupted()
            raise

    @property
    def epochs(self) -> int:
        """How many epochs were reported."""
        return self._builder.count

    @guarded(default=None)
    def metrics(self, metrics: dict[str, Any]) -> None:
        """Set results of the job. They are sent with its last event.

        Args:
            metrics: the values, by name. A later value of a name replaces an earlier one.

        Examples:
            >>> from argus_tasks import Reporter
            >>> with Reporter("bench") as reporter, reporter.job("mlp") as job:
            ...     job.metrics({"mse": 0.44, "checkpoint": "best.pt"})
        """
        if self._keep_metrics is not None:
            self._keep_metrics(metrics)
        self._metrics.update(metrics)
        record_metrics(metrics)

    @guarded(default=None)
    def log(self, message: str, level: str = "INFO") -> None:
        """Send a line to the monitor's log view.

        Args:
            message: the line; any value is turned into text.
            level: DEBUG, INFO, WARNING or ERROR.
        """
        data = {"line": str(to_jsonable(message)), "level": str(level).lower()}
        self._sink.emit("log_line", self._job_id, data)

    @guarded(default=0)
    def upload(self, path: str | Path, *, glob: str = "**/*.png") -> int:
        """Upload a file, or the files of a folder, after the job's events have been delivered.

        Only pictures and PDFs are uploaded (.png .jpg .jpeg .pdf .svg). The files are read later,
        so leave them in place.

        Args:
            path: a file or a folder.
            glob: which files of a folder.

        Returns:
            How many files were queued.
        """
        place = Path(path)
        files = artifact_files(place, glob)
        if not files:
            kinds = " ".join(sorted(_EXTENSIONS))
            log.warning("argus-tasks: nothing to upload at %s (files may be: %s)", place, kinds)
        taken = 0
        for file in files:
            record = upload_record(file, batch_id=self._sink.batch_id, job_id=self._job_id)
            taken += self._sink.upload(record)
        return taken

    def __enter__(self) -> JobContext:
        open_jobs.enter(self)
        self._started = time.monotonic()
        if self._keep_metrics is None:
            self._start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        open_jobs.leave(self)
        if self._keep_metrics is None and self._pid == os.getpid():
            self._end(error)

    @guarded(default=None)
    def _start(self) -> None:
        self._batch.job_opened(self._job_id)
        self._sink.emit("job_start", self._job_id, self._labels)

    @guarded(default=None)
    def _end(self, error: BaseException | None) -> None:
        data: dict[str, Any] = {
            "elapsed_s": round(time.monotonic() - self._started, 6),
            "train_epochs": self._builder.count,
        }
        if self._metrics:
            data["metrics"] = self._metrics
        skipped = isinstance(error, SkipRun)
        failed = error is not None and not skipped and not exits_well(error)
        if failed and error is not None:
            data |= {"status": "FAILED", "reason": reason_of(error), "error": error_text(error)}
            self._sink.emit("job_failed", self._job_id, data)
        else:
            data["status"] = "SKIPPED" if skipped else "DONE"
            if skipped:
                data["reason"] = _text(error)
            self._sink.emit("job_done", self._job_id, data)
        self._batch.job_closed(self._job_id, failed=failed)


open_jobs: ContextStack[JobContext] = ContextStack("job")
"""The jobs that are open in this process."""


def artifact_files(path: Path, glob: str) -> list[Path]:
    """The file, or the files of the folder that match `glob`, sorted: pictures and PDFs only, which
    the monitor takes."""
    found: Iterable[Path]
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(path.glob(glob))
    else:
        return []
    return [one for one in found if one.suffix.lower() in _EXTENSIONS and one.is_file()]


def exits_well(error: BaseException) -> bool:
    """Whether the exception is `sys.exit()` with an exit code of success."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def reason_of(error: BaseException) -> str:
    """An exception as one line, without secrets."""
    words = _text(error)
    return f"{type(error).__name__}: {words}"[:1000] if words else type(error).__name__


def error_text(error: BaseException) -> str:
    """The traceback of an exception, without secrets: its last 8,000 characters."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - an exception whose own text raises
        text = reason_of(error)
    return redact(text, known_secrets())[-_ERROR_TEXT:]


def _text(value: Any) -> str:
    return redact(str(to_jsonable(value)), known_secrets())
