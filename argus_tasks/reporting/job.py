"""`JobContext`: one job of a batch, as user code sees it."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from argus_tasks.base.context_stack import ContextStack
from argus_tasks.base.errors import SkipRun
from argus_tasks.base.guard import guarded, swallow
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.base.script_metrics import record_metrics
from argus_tasks.delivery.events import EPOCH
from argus_tasks.delivery.uploads import upload_record
from argus_tasks.reporting.artifacts import EXTENSIONS, artifact_files
from argus_tasks.reporting.sinks import Sink

log = logging.getLogger("argus_tasks")

_ERROR_TEXT = 8000
_KNOWN_NUMBERS = ("train_loss", "val_loss", "lr", "batch_time_ms")


class Batch(Protocol):
    """What a job needs of the batch that it belongs to."""

    @property
    def stopped(self) -> bool:
        """Whether the batch shall stop."""
        ...

    def job_opened(self, job_id: str) -> None:
        """The job runs."""

    def job_closed(self, job_id: str, *, failed: bool) -> None:
        """The job has ended."""


class JobContext:
    """One job: a context manager from `Reporter.job`. Nothing here raises into user code."""

    def __init__(
        self,
        batch: Batch,
        sink: Sink,
        job_id: str,
        *,
        labels: dict[str, Any],
        keep_metrics: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """`keep_metrics` is given where the job is another's: neither start nor end is sent."""
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
        """The id that the monitor shows: the one given, and six hex digits of the batch's."""
        return self._job_id

    @property
    def stopped(self) -> bool:
        """Whether someone pressed the monitor's stop button; stays true."""
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
        """One point of the curves. Any value goes; what JSON cannot say is said so in the event.

        Args:
            epoch: which one, a whole number.
            train_loss: on the training data.
            val_loss: on the validation data.
            lr: the learning rate.
            batch_time_ms: the mean time of a batch, in milliseconds.
            extra: whatever else there is, by name.
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
        """`epoch`, its numbers as a mapping: no name among them can be in the way."""
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
        """How many epochs were sent."""
        return self._builder.count

    @guarded(default=None)
    def metrics(self, metrics: dict[str, Any]) -> None:
        """Results of the job; kept, later ones over earlier ones, and sent with its end."""
        if self._keep_metrics is not None:
            self._keep_metrics(metrics)
        self._metrics.update(metrics)
        record_metrics(metrics)

    @guarded(default=None)
    def log(self, message: str, level: str = "INFO") -> None:
        """A line for the monitor's log view; `level` is DEBUG, INFO, WARNING or ERROR."""
        data = {"line": str(to_jsonable(message)), "level": str(level).lower()}
        self._sink.emit("log_line", self._job_id, data)

    @guarded(default=0)
    def upload(self, path: str | Path, *, glob: str = "**/*.png") -> int:
        """Send a file, or a folder's files that match `glob`, once the job's events are there.

        Pictures and PDFs only (.png .jpg .jpeg .pdf .svg). Returns how many were taken; the files
        are read when their turn comes, so leave them in place.
        """
        place = Path(path)
        files = artifact_files(place, glob)
        if not files:
            kinds = " ".join(sorted(EXTENSIONS))
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
"""The jobs that this process has entered and not left."""


def exits_well(error: BaseException) -> bool:
    """Whether the exception is `sys.exit()` with success."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def reason_of(error: BaseException) -> str:
    """An exception in one line, without secrets."""
    words = _text(error)
    return f"{type(error).__name__}: {words}"[:1000] if words else type(error).__name__


def error_text(error: BaseException) -> str:
    """An exception's traceback, its end where it is long, without secrets."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - an exception whose own text raises
        text = reason_of(error)
    return redact(text, known_secrets())[-_ERROR_TEXT:]


def _text(value: Any) -> str:
    return redact(str(to_jsonable(value)), known_secrets())
