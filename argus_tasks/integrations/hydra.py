"""`ArgusCallback` for Hydra, set up in the config alone:

hydra:
  callbacks:
    argus:
      _target_: argus_tasks.integrations.hydra.ArgusCallback
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Mapping
from typing import Any

from argus_tasks.base.boot import boot_id
from argus_tasks.base.extras import need
from argus_tasks.base.guard import guarded
from argus_tasks.base.ids import digest_of, slug
from argus_tasks.integrations.training import Stopped, Unfinished, what_ended_the_process
from argus_tasks.reporting import active
from argus_tasks.reporting.job import JobContext, reason_of
from argus_tasks.reporting.reporter import Reporter

need("hydra", "hydra")

from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: E402
from hydra.core.utils import JobReturn, JobStatus  # noqa: E402
from hydra.experimental.callback import Callback  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402
from omegaconf.errors import OmegaConfBaseException  # noqa: E402

_SHOWN_FAILURES = 5
_STOPPED_EXIT_CODE = 130


class ArgusCallback(Callback):
    """Reports a run of an app as a batch with one job, a multirun as a batch with a job for each
    trial.

    A job's id is Hydra's job number and the overrides. In a script that an experiment of a sweep
    starts, all events belong to the sweep's run. Jobs that a launcher runs in other processes of
    this host belong to the same batch. Jobs on other hosts are reported, but not stopped. After the
    monitor's stop button was pressed, this process starts no further job and exits with code 130.
    """

    def __init__(
        self,
        batch_prefix: str = "hydra",
        *,
        batch_id: str | None = None,
        experiment_type: str | None = None,
        source_project: str | None = None,
        monitor_url: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
    ) -> None:
        """Prepare the callback.

        Args:
            batch_prefix: as for `Reporter`.
            batch_id: as for `Reporter`.
            experiment_type: as for `Reporter`.
            source_project: as for `Reporter`.
            monitor_url: as for `Reporter`.
            model: the model's name on the monitor; by default the config's value `model`, or the
                choice of the config group `model`.
            dataset: the dataset's name on the monitor; by default as for `model`.
        """
        self._options: dict[str, Any] = {
            "batch_prefix": batch_prefix,
            "experiment_type": experiment_type,
            "source_project": source_project,
            "monitor_url": monitor_url,
        }
        self._batch_id = batch_id
        self._labels = {"model": model, "dataset": dataset}
        self._opened_on: str | None = None
        self._nothing_open()

    def _nothing_open(self) -> None:
        self._reporter: Reporter | None = None
        self._job: JobContext | None = None
        self._failures: list[str] = []
        self._who = "the monitor"

    def __getstate__(self) -> dict[str, Any]:
        # For the process of a launcher: what is open stays in this one.
        return {
            name: vars(self)[name] for name in ("_options", "_batch_id", "_labels", "_opened_on")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._nothing_open()

    # --- The batch, in the process that was started ---

    @guarded(default=None)
    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Open a batch with one job."""
        self._open(n_total=1, app=_app(config))

    @guarded(default=None)
    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Open a batch."""
        self._open(n_total=_count_trials(config), app=_app(config))

    def on_run_end(self, config: DictConfig, **_: Any) -> None:  # noqa: ARG002 - Hydra's
        """Close the batch."""
        self._close(None)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:  # noqa: ARG002 - Hydra's
        """Close the batch. Hydra does not call this after a failed trial; then the batch is closed
        when the process ends."""
        self._close(None)

    def _open(self, *, n_total: int | None, app: str) -> None:
        self._close(Unfinished("another run has begun"))
        reporter = Reporter(**self._options, batch_id=self._batch_id, n_total=n_total)
        reporter.options.labels["app"] = app
        reporter.options.on_stop = self._asked
        self._reporter = reporter.__enter__()
        self._batch_id = reporter.batch_id
        self._opened_on = boot_id()
        _open.append(self)

    @guarded(default=None)
    def _close(self, error: BaseException | None) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        _open.remove(self)
        self._end_job(error)
        if self._failures:
            reporter.fail("; ".join(self._failures[:_SHOWN_FAILURES]))
            error = None
        self._nothing_open()
        reporter.__exit__(None if error is None else type(error), error, None)

    def close_unfinished(self, error: BaseException) -> None:
        """Close the batch because this exception ends the process, which Hydra did not report."""
        self._close(error)

    def _asked(self, who: str) -> None:
        self._who = who

    # --- Jobs, here or in a launcher's process ---

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Begin a job. After a stop request the process exits instead."""
        if self._reporter is not None and self._reporter.stopped:
            self._close(Stopped(f"by {self._who}"))
            raise SystemExit(_STOPPED_EXIT_CODE)
        self._begin_job(config)

    @guarded(default=None)
    def _begin_job(self, config: DictConfig) -> None:
        reporter = self._reporter or self._join_batch()
        job_id, labels = _described(config)
        labels |= {name: value for name, value in self._labels.items() if value is not None}
        self._job = reporter.job(job_id, **labels).__enter__()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:  # noqa: ARG002
        """Report the end of a job."""
        self._take_result(job_return)
        if self._reporter is not None and self not in _open:
            self._leave()

    @guarded(default=None)
    def _take_result(self, job_return: JobReturn) -> None:
        # Not `return_value`, which prints where the job has failed.
        result = job_return._return_value
        if job_return.status == JobStatus.FAILED:
            self._end_job(result)
        elif self._job is not None:
            self._job.metrics(_metrics_of(result))
            self._end_job(None)

    def _end_job(self, error: BaseException | None) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        if error is not None:
            self._failures.append(f"{job.job_id}: {reason_of(error)}")
        job.__exit__(None if error is None else type(error), error, None)

    # --- A launcher's process, where the batch was opened elsewhere ---

    def _join_batch(self) -> Reporter:
        reporter = Reporter(
            **self._options, batch_id=self._batch_id, heartbeat=False, resource_snapshot=False
        )
        reporter.options.opens = self._on_this_host()
        self._reporter = reporter.__enter__()
        return reporter

    @guarded(default=None)
    def _leave(self) -> None:
        reporter, failures = self._reporter, self._failures
        self._nothing_open()
        if reporter is None:
            return
        active.pop(reporter)
        if failures:
            reporter.fail(failures[0])
        if self._on_this_host():  # the process that opened the batch delivers and closes it
            reporter.end(None)
        reporter.leave(0.0 if self._on_this_host() else None)

    def _on_this_host(self) -> bool:
        return self._opened_on == boot_id()


def _app(config: DictConfig) -> str:
    return str(OmegaConf.select(config, "hydra.job.name"))


def _described(config: DictConfig) -> tuple[str, dict[str, Any]]:
    """A job's id, and the data of its `job_start`."""
    values = _plain(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    number = OmegaConf.select(config, "hydra.job.num", throw_on_missing=False)
    overrides = str(OmegaConf.select(config, "hydra.job.override_dirname") or "")
    parts = [str(part) for part in (number, overrides) if part not in (None, "")]
    choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    labels: dict[str, Any] = {
        "run_dir": OmegaConf.select(config, "hydra.runtime.output_dir"),
        "config_digest": digest_of(_app(config), values),
        "overrides": list(OmegaConf.select(config, "hydra.overrides.task") or ()),
    }
    for name in ("model", "dataset"):
        value = values.get(name)
        chosen = choices.get(name)
        labels[name] = value if isinstance(value, str) else chosen
    return slug("-".join(parts)) or _app(config), labels


def _plain(config: DictConfig) -> dict[Any, Any]:
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:  # an unused value may be impossible to resolve
        values = OmegaConf.to_container(config, resolve=False)
    return values if isinstance(values, dict) else {}


def _metrics_of(result: Any) -> dict[str, Any]:
    """The metrics that an app returns: a number, several numbers or a mapping."""
    if isinstance(result, Mapping):
        return {str(name): result[name] for name in result}
    if isinstance(result, tuple | list):
        return {f"objective_{index}": value for index, value in enumerate(result)}
    return {} if result is None else {"objective": result}


@guarded(default=None)
def _count_trials(config: DictConfig) -> int | None:
    """How many trials Hydra's basic sweeper makes; None for another sweeper."""
    sweeper = OmegaConf.select(config, "hydra.sweeper")
    if not str(sweeper.get("_target_", "")).endswith(".BasicSweeper"):
        return None
    texts = [f"{name}={value}" for name, value in (sweeper.get("params") or {}).items()]
    texts += list(OmegaConf.select(config, "hydra.overrides.task") or ())
    values = {}
    for override in OverridesParser.create().parse_overrides(texts):
        swept = override.is_sweep_override()
        values[override.get_key_element()] = (
            sum(1 for _ in override.sweep_iterator()) if swept else 1
        )
    return math.prod(values.values())


_open: list[ArgusCallback] = []


@guarded(default=None)
def _close_what_is_open() -> None:
    for callback in _open.copy():
        callback.close_unfinished(what_ended_the_process())


atexit.register(_close_what_is_open)
