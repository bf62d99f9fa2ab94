"""A sweep, resolved: every default filled in and every value checked, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import Experiment
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.context.trackers import check_specs
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.modes import ENGINES, UNISOLATED
from argus_tasks.spec.named_limits import NamedLimit
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.search_section import Search, check_search
from argus_tasks.spec.sections import Execution
from argus_tasks.spec.sweep_spec import SweepSpec

ISOLATION_KEYS = ("timeout_s", "timeout", "fresh_process", "max_runs_per_worker", "gpus")


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """A sweep with nothing left open.

    Attributes:
        spec: its options, as a sweep file would have them, what was left open filled in.
        experiment: what is run.
        configs: what it is run with, in order; of a search, what all its trials have, as one.
        retry: when a failed config is tried again.
        limits: named limits on Prefect's server, and which configs take slots of them.
        metadata: what the caller says of every run.
        trackers: live trackers.
        batch_id: the batch, where the caller wants a certain one.
        duplicates: equal configs that were dropped when the configs were made.
        reuse: take over what succeeded before, and make equal configs one.
        fresh: a new batch, and nothing taken over.
        only: digests of the configs to be run, whatever has become of them; None: all that need it.
    """

    spec: SweepSpec
    experiment: Experiment
    configs: tuple[dict[str, Any], ...]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: tuple[NamedLimit, ...] = ()
    metadata: RunMetadata | None = None
    trackers: tuple[Tracker, ...] = ()
    batch_id: str | None = None
    duplicates: int = 0
    reuse: bool = True
    fresh: bool = False
    only: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.results_root.exists() and not self.results_root.is_dir():
            raise BadInput(f"results_root is '{self.results_root}'; expected a folder.")
        check_specs(self.tracker_specs)
        if self.search is not None:
            check_fits_search(self, self.search)
        self._check_isolation()
        self._check_machine()
        if self.execution.address is not None and self.execution.mode not in ENGINES:
            raise BadInput(
                f"address is '{self.execution.address}', but mode is '{self.execution.mode}';"
                f" expected mode {' or '.join(repr(mode) for mode in ENGINES)}."
            )

    @property
    def name(self) -> str:
        """The sweep's name."""
        return str(self.spec.name)

    @property
    def project(self) -> str:
        """The project it belongs to."""
        return str(self.spec.project)

    @property
    def results_root(self) -> Path:
        """The folder of the run folders, absolute."""
        return Path(str(self.spec.results_root))

    @property
    def execution(self) -> Execution:
        """Where and how many at a time."""
        return self.spec.execution

    @property
    def workers(self) -> int:
        """How many run at once."""
        return int(self.spec.execution.workers)

    @property
    def search(self) -> Search | None:
        """How configs are drawn while the sweep runs; None: they are `configs`."""
        return self.spec.search

    @property
    def tracker_specs(self) -> list[dict[str, Any]]:
        """Trackers to be made in each worker: `type` and `kwargs` of each."""
        return [tracker.model_dump() for tracker in self.spec.trackers]

    @property
    def total(self) -> int:
        """How many configs there are to be; a search has had those of earlier starts too."""
        return self.search.trials if self.search is not None else len(self.configs)

    def with_options(self, **update: Any) -> SweepRequest:
        """The same with other values at the top of its spec, which are not checked again."""
        return replace(self, spec=self.spec.model_copy(update=update))

    def _check_machine(self) -> None:
        if self.execution.mode not in ENGINES:
            return
        for key in ("gpus", "min_free_memory"):
            value = getattr(self.execution, key)
            if value is not None:
                raise BadInput(
                    f"{key} is {value!r}, but mode '{self.execution.mode}' runs on other machines,"
                    " and it is this one's; expected mode 'process_pool' or 'dynamic'."
                )

    def _check_isolation(self) -> None:
        if self.execution.mode not in UNISOLATED:
            return
        for key in ISOLATION_KEYS:
            value = getattr(self.execution, key)
            if value is not None and value is not False:
                raise BadInput(
                    f"{key} is {value!r}, but mode '{self.execution.mode}' has no worker"
                    " processes to end; expected mode 'process_pool' or 'dynamic'."
                )


def check_fits_search(request: SweepRequest, search: Search) -> None:
    """Raise BadInput for what needs to know all configs, which a search does not."""
    check_search(search)
    reason = "; a search has its configs one by one"
    if request.execution.order != "given":
        raise BadInput(f"order is '{request.execution.order}'{reason}, expected given.")
    if request.spec.stop.breaker is not None:
        raise BadInput(f"breaker is {request.spec.stop.breaker}{reason}, expected none.")
    if request.spec.on_code_change == "rerun":
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
