"""A sweep, resolved: every default filled in and every value checked, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.experiments.experiment import Experiment
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.context.trackers import check_specs
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.code_change_policy import OnCodeChange, check_on_code_change
from argus_tasks.spec.gpus import Gpus, check_gpus
from argus_tasks.spec.modes import ENGINES, UNISOLATED, Mode
from argus_tasks.spec.named_limits import NamedLimit
from argus_tasks.spec.order import Order, check_order
from argus_tasks.spec.quantities import bytes_of
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.search_section import Search, check_search
from argus_tasks.spec.sections import JobTemplates
from argus_tasks.spec.stop_rules import StoppingRules
from argus_tasks.spec.time_limit import factor_of

MODES: tuple[str, ...] = get_args(Mode)
DEFAULT_STOP_GRACE_S = 2.0
ISOLATION_KEYS = ("timeout_s", "timeout", "fresh_process", "max_runs_per_worker", "gpus")


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """A sweep with nothing left open.

    Attributes:
        name: the sweep's name.
        project: the project it belongs to.
        results_root: the folder of the run folders, absolute.
        experiment: what is run.
        configs: what it is run with, in order; of a search, what all its trials have, as one.
        mode: how: see `spec.modes`.
        address: of the cluster of `dask` and `ray`; None: one of our own on this machine.
        workers: how many at once.
        cpu_threshold: percent of the machine's CPU over which `dynamic` starts nothing new.
        cpu_limit: the limit on Prefect's server that shows and sets how many run in mode
            `dynamic`; None: that of this host.
        limits: named limits on Prefect's server, and which configs take slots of them.
        retry: when a failed config is tried again.
        timeout_s: seconds after which an attempt is ended; None: no such limit.
        timeout: `5x`: the same for so many times the median duration.
        fresh_process: each attempt gets a process of its own.
        max_runs_per_worker: attempts after which a worker is replaced; None: never.
        stop_grace_s: seconds that experiments have to end by themselves after a stop, or a
            timeout.
        metadata: what the caller says of every run.
        job: how jobs are named.
        order: in which order configs are started: see `spec.order`.
        stopping: when the sweep stops by itself, and when it holds configs back.
        min_free_memory: `4GB` or `10%`: nothing new starts while less is free; None: no such floor.
        gpus: `auto`, GPUs by number, or 0 for none; None: GPUs are not seen to.
        slots_per_gpu: how many runs share a GPU.
        ignore_keys: top-level keys of a config that do not count for its identity.
        tracker_specs: trackers to be made in each worker.
        trackers: live trackers.
        experiment_type: a label for the monitor.
        batch_id: the batch, where the caller wants a certain one.
        duplicates: equal configs that were dropped when the configs were made.
        reuse: take over what succeeded before, and make equal configs one.
        fresh: a new batch, and nothing taken over.
        on_code_change: what becomes of the runs that another code has made: `warn` uses them and
            says so, `rerun` runs them again, `stop` refuses to start.
        only: digests of the configs to be run, whatever has become of them; None: all that need it.
        source: the sweep file, where there is one.
        search: how configs are drawn while the sweep runs; None: they are `configs`.
    """

    name: str
    project: str
    results_root: Path
    experiment: Experiment
    configs: tuple[dict[str, Any], ...]
    mode: Mode = "process_pool"
    address: str | None = None
    workers: int = 1
    cpu_threshold: float = 80
    cpu_limit: str | None = None
    limits: tuple[NamedLimit, ...] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float | None = None
    timeout: str | None = None
    fresh_process: bool = False
    max_runs_per_worker: int | None = None
    stop_grace_s: float = DEFAULT_STOP_GRACE_S
    metadata: RunMetadata | None = None
    job: JobTemplates = field(default_factory=JobTemplates)
    order: Order = "given"
    stopping: StoppingRules = field(default_factory=StoppingRules)
    min_free_memory: str | None = None
    gpus: Gpus | None = None
    slots_per_gpu: int = 1
    ignore_keys: tuple[str, ...] = ()
    tracker_specs: tuple[Mapping[str, Any], ...] = ()
    trackers: tuple[Tracker, ...] = ()
    experiment_type: str | None = None
    batch_id: str | None = None
    duplicates: int = 0
    reuse: bool = True
    fresh: bool = False
    on_code_change: OnCodeChange = "warn"
    only: frozenset[str] | None = None
    source: Path | None = None
    search: Search | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode)
        check_on_code_change(self.on_code_change)
        if self.results_root.exists() and not self.results_root.is_dir():
            raise BadInput(f"results_root is '{self.results_root}'; expected a folder.")
        check_specs(self.tracker_specs)
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise BadInput(f"workers is {self.workers!r}; expected a whole number, 1 or more.")
        if not 0 < self.cpu_threshold <= 100:
            raise BadInput(
                f"cpu_threshold is {self.cpu_threshold!r};"
                " expected a percentage above 0, up to 100."
            )
        if self.stop_grace_s < 0:
            raise BadInput(f"stop_grace_s is {self.stop_grace_s!r}; expected seconds, 0 or more.")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise BadInput(f"timeout_s is {self.timeout_s!r}; expected seconds, more than 0.")
        if self.timeout is not None:
            factor_of(self.timeout)
        most = self.max_runs_per_worker
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise BadInput(f"max_runs_per_worker is {most!r}; expected a whole number, 1 or more.")
        check_order(self.order)
        if self.search is not None:
            check_fits_search(self, self.search)
        if self.min_free_memory is not None:
            bytes_of("min_free_memory", self.min_free_memory)
        check_gpus(self.gpus, self.slots_per_gpu)
        self._check_isolation()
        self._check_machine()
        if self.address is not None and self.mode not in ENGINES:
            raise BadInput(
                f"address is '{self.address}', but mode is '{self.mode}';"
                f" expected mode {' or '.join(repr(mode) for mode in ENGINES)}."
            )

    @property
    def total(self) -> int:
        """How many configs there are to be; a search has had those of earlier starts too."""
        return self.search.trials if self.search is not None else len(self.configs)

    def _check_machine(self) -> None:
        if self.mode not in ENGINES:
            return
        for key in ("gpus", "min_free_memory"):
            value = getattr(self, key)
            if value is not None:
                raise BadInput(
                    f"{key} is {value!r}, but mode '{self.mode}' runs on other machines, and it is"
                    " this one's; expected mode 'process_pool' or 'dynamic'."
                )

    def _check_isolation(self) -> None:
        if self.mode not in UNISOLATED:
            return
        for key in ISOLATION_KEYS:
            value = getattr(self, key)
            if value is not None and value is not False:
                raise BadInput(
                    f"{key} is {value!r}, but mode '{self.mode}' has no worker"
                    " processes to end; expected mode 'process_pool' or 'dynamic'."
                )


def check_fits_search(request: SweepRequest, search: Search) -> None:
    """Raise BadInput for what needs to know all configs, which a search does not."""
    check_search(search)
    told = "; a search has its configs one by one"
    if request.order != "given":
        raise BadInput(f"order is '{request.order}'{told}, expected given.")
    if request.stopping.breaker is not None:
        raise BadInput(f"breaker is {request.stopping.breaker}{told}, expected none.")
    if request.on_code_change == "rerun":
        raise BadInput(
            "on_code_change is 'rerun', and a search goes on with what its trials came to; expected"
            " warn or stop, or a new batch (--fresh)."
        )
    for limit in request.limits:
        for key in {key for wanted in limit.rule.where or () for key in wanted} & set(search.space):
            raise BadInput(
                f"limits.{limit.name}.where names '{key}', which the search draws; expected keys of"
                " base."
            )


def check_mode(mode: str) -> None:
    """Raise BadInput where there is no such mode."""
    if mode not in MODES:
        raise BadInput(
            f"mode is '{mode}'; expected one of {', '.join(MODES)}.{did_you_mean(mode, MODES)}"
        )


def checked_configs(configs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The configs as dicts. Errors: BadInput for one that is no mapping."""
    if isinstance(configs, str | bytes | Mapping) or not hasattr(configs, "__iter__"):
        raise BadInput(
            f"configs is {type(configs).__name__} {str(configs)[:80]!r};"
            " expected a list of mappings, a SweepSpec, or the path of a sweep file."
        )
    for index, config in enumerate(configs):
        if not isinstance(config, Mapping):
            raise BadInput(f"configs[{index}] is {config!r}; expected a mapping.")
    return tuple(dict(config) for config in configs)
