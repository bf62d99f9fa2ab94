"""`ArgusCallback` for Keras 3, on any backend, in `fit` and in training loops of your own."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from argus_tasks.base.extras import need
from argus_tasks.base.guard import guarded
from argus_tasks.integrations.numbers import curves, number
from argus_tasks.integrations.training import Training, open_training
from argus_tasks.reporting.job import JobContext

need("keras", "keras")

import keras  # noqa: E402


class ArgusCallback(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    """Reports `model.fit` to the monitor, and ends it when the monitor's stop button is pressed.

    The training is reported to the run of a sweep whose experiment it is; within `with
    reporter.job(...)` to that job; within `with Reporter(...)` to a new job there; otherwise to a
    new batch with one job. Each training (`on_train_begin` to `on_train_end`) is
    reported separately. Nothing here raises into the training.

    Keras does not inform its callbacks of an exception. Used as a context manager around `fit`, the
    callback sees the exception at once; otherwise its job ends with the process.

    In a training loop of your own, call `on_train_begin()`, for each epoch `on_epoch_begin(epoch)`
    and `on_epoch_end(epoch, logs)`, then `on_train_end()`. Leave the loop when `stopped` is true.

    Examples:
        with ArgusCallback("mlp", dataset="digits") as callback:
            model.fit(x, y, epochs=10, callbacks=[callback])
    """

    def __init__(
        self,
        job_id: str | None = None,
        *,
        model: str | None = None,
        dataset: str | None = None,
        batch_prefix: str = "keras",
        batch_id: str | None = None,
        job: JobContext | None = None,
    ) -> None:
        """Prepare the callback.

        Args:
            job_id: the job's name; by default the model's name.
            model: the model's name on the monitor; by default the model's name.
            dataset: the dataset's name on the monitor.
            batch_prefix: what the id of a new batch begins with; twelve hex digits follow.
            batch_id: the id of a new batch; by default a random one.
            job: an open job to report to; its start and end are left to the code that opened it.
        """
        super().__init__()
        self._job_id = job_id
        self._model_name = model
        self._open = partial(
            open_training, job=job, dataset=dataset, batch_prefix=batch_prefix, batch_id=batch_id
        )
        self._training: Training | None = None
        self._forget()

    @property
    def stopped(self) -> bool:
        """Whether a stop of the training was requested."""
        self._heed_stop()
        return self._stopped

    def _forget(self) -> None:
        self._stopped = False
        self._last: dict[str, float] = {}
        self._batches = 0
        self._trained_s = 0.0
        self._epoch_began = time.perf_counter()
        self._batches_began: float | None = None

    # --- The training ---

    @guarded(default=None)
    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Start to report a training."""
        self._forget()
        if _rank() != 0:
            return
        name = self._model_name or getattr(self._trained(), "name", None) or "model"
        self._training = self._open(job_id=self._job_id or name, model=name)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Report the results and the end."""
        self._end(None)

    def __enter__(self) -> ArgusCallback:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Report the exception that ends a training, where it has not ended yet."""
        self._end(error)

    @guarded(default=None)
    def _end(self, error: BaseException | None) -> None:
        training, self._training = self._training, None
        if training is None:
            return
        try:
            training.metrics(dict(self._last))
        finally:
            training.end(error, stopped=self._stopped)

    # --- Epochs ---

    @guarded(default=None)
    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Start the epoch's time."""
        self._epoch_began = time.perf_counter()
        self._batches, self._trained_s = 0, 0.0
        self._batches_began = None

    @guarded(default=None)
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report the numbers of the epoch."""
        self._batches_end()
        self._heed_stop()
        if self._training is None:
            return
        numbers = curves(logs or {})
        self._last |= {name: numbers[name] for name in numbers if name != "learning_rate"}
        point = {"epoch_time_s": round(time.perf_counter() - self._epoch_began, 6)}
        rate = self._learning_rate(numbers.pop("learning_rate", None))
        if rate is not None:
            point["lr"] = rate
        if self._batches:
            point["batch_time_ms"] = round(self._trained_s / self._batches * 1000, 3)
        self._training.epoch(epoch, {**numbers, **point})

    # --- Batches, without a hook at their ends: backends that compute ahead would have to wait. ---

    @guarded(default=None)
    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Count the batch, and end the training on a stop request."""
        if self._batches_began is None:
            self._batches_began = time.perf_counter()
        self._batches += getattr(self._trained(), "steps_per_execution", None) or 1
        self._heed_stop()

    @guarded(default=None)
    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """End the time of the epoch's batches, because validation begins."""
        self._batches_end()

    def _batches_end(self) -> None:
        if self._batches_began is not None:
            self._trained_s += time.perf_counter() - self._batches_began
            self._batches_began = None

    # --- The model, where there is one ---

    @guarded(default=None)
    def _heed_stop(self) -> None:
        if self._stopped or self._training is None or not self._training.stopped:
            return
        self._stopped = True
        model = self._trained()
        if model is not None:
            model.stop_training = True

    def _trained(self) -> Any:
        """The model; None in a training loop of the user's own."""
        return None if self._model is None else self.model

    def _learning_rate(self, logged: float | None) -> float | None:
        if logged is not None:
            return logged
        optimizer = getattr(self._trained(), "optimizer", None)
        if optimizer is None:
            return None
        variable = optimizer.learning_rate
        rate = number(getattr(variable, "value", variable))
        return None if rate is None else float(f"{rate:.7g}")  # it has single precision


def _rank() -> int:
    """The number of this process among those that train together."""
    torch: Any = sys.modules.get("torch")
    distributed = None if torch is None else torch.distributed
    if distributed and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    if keras.backend.backend() == "jax":
        return int(sys.modules["jax"].process_index())
    return 0
