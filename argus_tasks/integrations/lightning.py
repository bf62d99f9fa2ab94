"""`ArgusCallback` for Lightning: `lightning` and `pytorch_lightning` alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import isclose
from typing import TYPE_CHECKING, Any

from argus_tasks.base.extras import need
from argus_tasks.base.guard import guarded
from argus_tasks.integrations.numbers import curves, number
from argus_tasks.integrations.training import Training, open_training
from argus_tasks.reporting.job import JobContext

_PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}
need("lightning", *_PACKAGES)

if TYPE_CHECKING:
    from lightning.pytorch import Callback as _Base
else:
    _Base = object

_BATCHES_BETWEEN_AGREEMENTS = 50


class ArgusCallback(_Base):  # type: ignore[misc, unused-ignore]
    """Reports `Trainer.fit` to the monitor, and ends it when the monitor's stop button is pressed.

    The training is reported to the run of a sweep whose experiment it is; within `with
    reporter.job(...)` to that job; within `with Reporter(...)` to a new job there; otherwise to a
    new batch with one job. Each fit is a training of its own. Nothing here raises into the
    training. On several devices only the first process reports.

    Examples:
        trainer = lightning.Trainer(max_epochs=10, callbacks=[ArgusCallback("mlp")])
        trainer.fit(module)
    """

    def __new__(cls, *_: Any, **__: Any) -> ArgusCallback:
        # A Trainer takes only what inherits from the Callback of its own package.
        made: ArgusCallback = object.__new__(_with_bases(cls))
        return made

    def __init__(
        self,
        job_id: str | None = None,
        *,
        model: str | None = None,
        dataset: str | None = None,
        batch_prefix: str = "lightning",
        batch_id: str | None = None,
        job: JobContext | None = None,
    ) -> None:
        """Prepare the callback.

        Args:
            job_id: the job's name; by default the name of the module's class.
            model: the model's name on the monitor; by default the name of the module's class.
            dataset: the dataset's name on the monitor.
            batch_prefix: what the id of a new batch begins with; twelve hex digits follow.
            batch_id: the id of a new batch; by default a random one.
            job: an open job to report to; its start and end are left to the code that opened it.
        """
        self._job_id = job_id
        self._model = model
        self._open = partial(
            open_training, job=job, dataset=dataset, batch_prefix=batch_prefix, batch_id=batch_id
        )
        self._forget()

    @property
    def stopped(self) -> bool:
        """Whether the training was ended because of a stop request."""
        return self._stopped

    def _forget(self) -> None:
        self._training: Training | None = None
        self._stopped = False
        self._of_validation: set[str] = set()
        self._before_validation: set[str] = set()
        self._validated = False
        self._losses: Any = None
        self._last_loss: Any = None
        self._rates: list[Any] = []
        self._batches = 0
        self._batch_s = 0.0
        self._batch_began = self._epoch_began = time.perf_counter()
        self._point: dict[str, float] = {}
        self._epoch: int | None = None
        self._last: dict[str, float] = {}

    # --- The fit ---

    @guarded(default=None)
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to report a training."""
        self._forget()
        if not trainer.is_global_zero:
            return
        name = type(pl_module).__name__
        self._training = self._open(job_id=self._job_id or name, model=self._model or name)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's
        """Report the results and the end."""
        self._end(trainer, None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Report the exception and the end."""
        self._end(trainer, exception)

    @guarded(default=None)
    def _end(self, trainer: Any, error: BaseException | None) -> None:
        training = self._training
        if training is None:
            return
        try:
            self._send_epoch(trainer)
            training.metrics({**self._last, **_best_checkpoint(trainer)})
        finally:
            self._training = None
            training.end(error, stopped=self._stopped)

    # --- Epochs ---

    @guarded(default=None)
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Report the epoch before this one, which is complete now."""
        self._send_epoch(trainer)
        self._losses = self._last_loss = None
        self._batches, self._batch_s = 0, 0.0
        self._validated = False
        self._epoch_began = time.perf_counter()

    @guarded(default=None)
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Keep the numbers so far. They are reported later, because the module's own hook may still
        log metrics of this epoch."""
        self._agree_on_stop(trainer)
        if self._training is None:
            return
        self._epoch = int(trainer.current_epoch)
        self._point = {
            **self._learning_rates(),
            "epoch_time_s": round(time.perf_counter() - self._epoch_began, 6),
        }
        if self._batches:
            self._point["batch_time_ms"] = round(self._batch_s / self._batches * 1000, 3)

    def _send_epoch(self, trainer: Any) -> None:
        if self._training is None or self._epoch is None:
            return
        logged = dict(trainer.callback_metrics)
        if not self._validated:  # these values are those of an earlier epoch
            logged = {name: logged[name] for name in logged if name not in self._of_validation}
        numbers = curves(logged)
        mean, last = self._mean_loss(), number(self._last_loss) or 0.0
        # A loss that was logged by step only is that of the last batch.
        if mean is not None and isclose(numbers.get("train_loss", last), last, rel_tol=1e-6):
            numbers["train_loss"] = mean
        epoch, self._epoch = self._epoch, None
        self._last |= numbers
        self._training.epoch(epoch, {**numbers, **self._point})

    def _mean_loss(self) -> float | None:
        total = number(self._losses)
        return None if total is None or not self._batches else total / self._batches

    def _learning_rates(self) -> dict[str, float]:
        """The distinct learning rates of all parameter groups: `lr`, `lr_1`, ..."""
        rates = dict.fromkeys(number(rate) for rate in self._rates)
        known = [rate for rate in rates if rate is not None]
        return {f"lr_{index}" if index else "lr": rate for index, rate in enumerate(known)}

    # --- Batches ---

    @guarded(default=None)
    def on_train_batch_start(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Start the time, and keep the learning rates, which schedulers change before the end."""
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._rates = [group.get("lr") for group in groups]
        self._batch_began = time.perf_counter()

    @guarded(default=None)
    def on_train_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Add up the loss on its device: to read it here would make every batch wait."""
        self._batch_s += time.perf_counter() - self._batch_began
        self._batches += 1
        loss: Any = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if hasattr(loss, "detach"):
            loss = loss.detach()
            if pl_module.automatic_optimization:  # Lightning has divided it by this
                loss = loss * trainer.accumulate_grad_batches
            self._losses = loss.clone() if self._losses is None else self._losses + loss
            self._last_loss = loss
        if trainer.world_size == 1 or (batch_idx + 1) % _BATCHES_BETWEEN_AGREEMENTS == 0:
            self._agree_on_stop(trainer)

    # --- Validation ---

    @guarded(default=None)
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Keep the names of the metrics that were logged before validation."""
        self._before_validation = set(trainer.callback_metrics)

    @guarded(default=None)
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Keep the names of the metrics that validation has logged."""
        if not trainer.sanity_checking:
            self._validated = True
            self._of_validation |= set(trainer.callback_metrics) - self._before_validation

    # --- Stopping ---

    def _agree_on_stop(self, trainer: Any) -> None:
        """End the training in all processes if the first one has a stop request. All processes
        agree at the same batches: one that continued alone would wait for the others forever."""
        asked = self._training is not None and self._training.stopped
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked and not self._stopped:
            self._stopped = True
            # A stop request overrides the minimum of epochs and steps.
            trainer.fit_loop.min_epochs = None
            trainer.fit_loop.epoch_loop.min_steps = None
            trainer.should_stop = True

    def __reduce__(self) -> tuple[Any, ...]:
        # For processes that a Trainer spawns, which make the class with its bases again.
        kept = {key: value for key, value in vars(self).items() if key != "_training"}
        return _revived, (getattr(type(self), "_made_of", type(self)), {**kept, "_training": None})


def _revived(kind: type[ArgusCallback], state: dict[str, Any]) -> ArgusCallback:
    callback = ArgusCallback.__new__(kind)
    callback.__dict__.update(state)
    return callback


def _with_bases(kind: type[ArgusCallback]) -> type[ArgusCallback]:
    """The class, and the Callback classes of the packages that are in use."""
    loaded = [name for name in _PACKAGES.values() if name in sys.modules]
    wanted = loaded or [name for package, name in _PACKAGES.items() if find_spec(package)]
    classes = [import_module(name).Callback for name in wanted]
    bases = tuple(base for base in classes if not issubclass(kind, base))
    if not bases:
        return kind
    if (kind, bases) not in _made:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        namespace = {**names, "__doc__": kind.__doc__, "_made_of": kind}
        _made[kind, bases] = type(kind.__name__, (kind, *bases), namespace)
    return _made[kind, bases]


_made: dict[tuple[type, tuple[type, ...]], type[ArgusCallback]] = {}


def _best_checkpoint(trainer: Any) -> dict[str, Any]:
    for callback in trainer.checkpoint_callbacks:
        path = getattr(callback, "best_model_path", "")
        if path:
            found: dict[str, Any] = {"best_checkpoint": str(path)}
            score = number(getattr(callback, "best_model_score", None))
            if score is not None and callback.monitor:
                found[f"best_{callback.monitor}"] = score
            return found
    return {}
