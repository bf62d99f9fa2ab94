"""A sweep request: a sweep with all defaults filled in and all values checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.given import ONE_TEXT, config_of, dotted
from argus_tasks.experiments.experiment import Experiment
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.context.trackers import check_specs
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.spec.modes import ENGINES, UNISOLATED
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.spec.search_section import Search, check_search
from argus_tasks.spec.sections import Execution
from argus_tasks.spec.sweep_spec import SweepSpec

ISOLATION_KEYS = ("timeout_s", "timeout", "fresh_process", "max_runs_per_worker", "nice", "gpus")


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """A sweep that is ready to be planned and run.

    Attributes:
        spec: the sweep's options, defaults filled in.
        experiment: the experiment.
        configs: the configs, in order; for a search, its base config alone.
        retry: after which failures, and how often, a run is retried.
        metadata: the metadata of every run.
        trackers: tracker objects that the caller created.
        batch_id: the batch, if the caller chooses one.
        duplicates: the number of equal configs that were dropped when the configs were made.
        reuse: whether earlier successes are reused, and equal configs are run once.
        fresh: whether a new batch is started that reuses nothing.
        only: the digests of the configs to run, whatever their state; None for all that need to
            run.
    """

    spec: SweepSpec
    experiment: Experiment
    configs: tuple[dict[str, Any], ...]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
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
        if self.spec.code.freeze and self.execution.mode in UNISOLATED:
            raise BadInput(
                f"freeze is true, but mode '{self.execution.mode}' runs what this process has"
                " loaded; expected 'process_pool' or another mode with worker processes."
            )
        if self.execution.address is not None and self.execution.mode not in ENGINES:
            raise BadInput(
                f"address is '{self.execution.address}', but mode is '{self.execution.mode}';"
                f" expected mode {' or '.join(repr(mode) for mode in ENGINES)}."
            )

    @property
    def name(self) -> str:
        """The name of the sweep."""
        return str(self.spec.name)

    @property
    def project(self) -> str:
        """The name of the project."""
        return str(self.spec.project)

    @property
    def results_root(self) -> Path:
        """The folder that contains the run folders, absolute."""
        return Path(str(self.spec.results_root))

    @property
    def execution(self) -> Execution:
        """Where experiments run, and how many at the same time."""
        return self.spec.execution

    @property
    def workers(self) -> int:
        """The largest number of runs at the same time."""
        return int(self.spec.execution.workers)

    @property
    def search(self) -> Search | None:
        """The search that draws the configs; None if they are listed in `configs`."""
        return self.spec.search

    @property
    def tracker_specs(self) -> list[dict[str, Any]]:
        """The trackers that each worker creates: `type` and `kwargs` of each."""
        return [tracker.model_dump() for tracker in self.spec.trackers]

    @property
    def total(self) -> int:
        """The number of configs; for a search, of trials, those of earlier starts included."""
        return self.search.trials if self.search is not None else len(self.configs)

    def with_options(self, **update: Any) -> SweepRequest:
        """A copy with other top-level values in its spec, which are not checked again."""
        return replace(self, spec=self.spec.model_copy(update=update))

    def _check_machine(self) -> None:
        if self.execution.mode not in ENGINES:
            return
        for key in ("gpus", "min_free_memory"):
            value = getattr(self.execution, key)
            if value is not None:
                raise BadInput(
                    f"{key} is {value!r}, but mode '{self.execution.mode}' runs on other machines,"
                    f" and {key} applies to this one; expected mode 'process_pool' or 'dynamic'."
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
    """Raise BadInput for options that need to know all configs, which a search does not."""
    check_search(search)
    reason = "; a search draws its configs one by one"
    if request.execution.order != "given":
        raise BadInput(f"order is '{request.execution.order}'{reason}, expected given.")
    if request.spec.stop.breaker is not None:
        raise BadInput(f"breaker is {request.spec.stop.breaker}{reason}, expected none.")
    if request.spec.on_code_change == "rerun":
        raise BadInput(
            "on_code_change is 'rerun', and a search builds on the results of its trials; expected"
            " warn or stop, or a new batch (--fresh)."
        )
    for name, limit in request.spec.limits.items():
        for key in {key for wanted in limit.where or () for key in wanted} & set(search.space):
            raise BadInput(
                f"limits.{name}.where names '{key}', which the search draws; expected keys of base."
            )


def checked_configs(configs: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """The configs as dicts. Raises BadInput for one that is no mapping, dataclass or pydantic
    model."""
    if isinstance(configs, str | bytes | Mapping) or not hasattr(configs, "__iter__"):
        raise BadInput(
            f"configs is {type(configs).__name__} {str(configs)[:80]!r};"
            " expected a list of mappings, a SweepSpec, or the path of a sweep file."
        )
    found = []
    for index, config in enumerate(configs):
        plain = config_of(config)
        if plain is None:
            raise BadInput(
                f"configs[{index}] is {config!r}; expected a mapping, a dataclass or a pydantic"
                " model."
            )
        found.append(plain)
    return tuple(found)


def check_keys(index: int, given: Mapping[str, str]) -> None:
    """Raise BadInput where two keys of a mapping, such as 1 and "1", are one key in JSON.

    Args:
        index: the config's place in the list.
        given: what `base.given.given_of` says of the config.
    """
    for pointer, kind in given.items():
        if kind == ONE_TEXT:
            raise BadInput(
                f"{dotted(pointer)} of configs[{index}] has {kind}, such as 1 and '1', and its"
                " record would lose one of them; expected keys that differ as text."
            )
