"""The sections of a sweep file as pydantic models. docs/sweep-file.md says what they mean.

The sentences for what is wrong with a value are in `spec.problems`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from argus_tasks.spec.gpus import no_gpu_twice
from argus_tasks.spec.modes import Mode
from argus_tasks.spec.order import Order
from argus_tasks.spec.quantities import bytes_of, seconds_of
from argus_tasks.spec.stop_rules import StoppingRules
from argus_tasks.spec.templates import check_template
from argus_tasks.spec.time_limit import factor_of


class Section(BaseModel):
    """What all sections share: no unknown key, no silent conversion, not changed once read."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
    )


Number: TypeAlias = float
Count: TypeAlias = Annotated[int, Field(ge=1)]
Key: TypeAlias = Annotated[str, Field(min_length=1)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Values: TypeAlias = Annotated[list[Any], Field(min_length=1)]
Pair: TypeAlias = Annotated[list[Number], Field(min_length=2, max_length=2)]
IntegerPair: TypeAlias = Annotated[list[int], Field(min_length=2, max_length=2)]


def _rising(pair: list[Number]) -> list[Number]:
    low, high = pair
    if not low < high or not math.isfinite(high - low):
        raise ValueError
    return pair


def _rising_above_zero(pair: list[Number]) -> list[Number]:
    if not pair[0] > 0:
        raise ValueError
    return _rising(pair)


def _not_falling(pair: list[int]) -> list[int]:
    if pair[0] > pair[1]:
        raise ValueError
    return pair


def _a_null_is_given(section: Section) -> bool:
    return any(getattr(section, name) is None for name in section.model_fields_set)


class Distribution(Section):
    """What is drawn for one key: exactly one of the four."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    uniform: Annotated[Pair, AfterValidator(_rising)] | None = None
    """A number between low and high: `[low, high]`, low < high."""
    log_uniform: Annotated[Pair, AfterValidator(_rising_above_zero)] | None = None
    """A number whose logarithm is uniform: `[low, high]`, 0 < low < high."""
    integers: Annotated[IntegerPair, AfterValidator(_not_falling)] | None = Field(None, alias="int")
    """An integer, both ends included: `[low, high]`."""
    choice: Values | None = None
    """One of the values."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Distribution:
        if len(self.model_fields_set) != 1 or _a_null_is_given(self):
            raise ValueError
        return self


class RandomDraws(Section):
    """Random draws; each point of grid and variants is crossed with each draw."""

    n: Count
    """How many draws."""
    seed: int = 0
    """Another seed gives other draws."""
    space: Annotated[dict[Key, Distribution], Field(min_length=1)]
    """What is drawn: a distribution for each key."""


class Condition(Section):
    """What a config's value must be; several conditions must all hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    gt: Number | None = None
    """Greater than."""
    ge: Number | None = None
    """At least."""
    lt: Number | None = None
    """Less than."""
    le: Number | None = None
    """At most."""
    one_of: Values | None = Field(None, alias="in")
    """Equal to one of these values."""
    none_of: (
        Annotated[
            Values,
            BeforeValidator(
                lambda value: value if isinstance(value, list) else [value],
                json_schema_input_type=Any,
            ),
        ]
        | None
    ) = Field(None, alias="not")
    """Equal to none of these values (or to this value), or not there."""
    glob: str | None = None
    """Text that matches the pattern: `*`, `?`, `[abc]`."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Condition:
        if not self.model_fields_set or _a_null_is_given(self):
            raise ValueError
        return self


def _as_condition(value: Any) -> Any:
    if isinstance(value, dict | Condition):
        return value
    return {"in": value if isinstance(value, list) else [value]}


def _as_filters(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Filter: TypeAlias = dict[
    Key,
    Annotated[
        Condition,
        BeforeValidator(
            _as_condition,
            json_schema_input_type=Condition | Values | str | int | float | bool | None,
        ),
    ],
]
Filters: TypeAlias = Annotated[
    list[Filter], BeforeValidator(_as_filters, json_schema_input_type=Filter | list[Filter])
]


class Repeats(Section):
    """How often each config is run, each time with its own `seed`."""

    n: Count
    """How often."""
    seed: int | None = None
    """The first seed; without it the config's own `seed`, else 0."""


def _as_repeats(value: Any) -> Any:
    return {"n": value} if isinstance(value, int) and not isinstance(value, bool) else value


RepeatsOrCount: TypeAlias = Annotated[
    Repeats, BeforeValidator(_as_repeats, json_schema_input_type=Count | Repeats)
]

Template: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(check_template)]


class JobTemplates(Section):
    """Names made of a config's values: `"{model}-{dataset}-s{seed}"`."""

    id: Template | None = None
    """The readable name of a run, in Prefect and on the monitor."""
    model: Template | None = None
    """The model that the monitor groups by."""
    dataset: Template | None = None
    """The dataset that the monitor groups by."""


def _a_factor(timeout: str) -> str:
    factor_of(timeout)
    return timeout


def _memory(given: str) -> str:
    bytes_of("min_free_memory", given)
    return given


def _failures(given: str) -> str:
    StoppingRules(max_failures=given)
    return given


def _runtime(given: float | str) -> float | str:
    seconds_of("max_runtime", given)
    return given


GpuNumbers: TypeAlias = Annotated[
    list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(no_gpu_twice)
]


class Execution(Section):
    """Where and how many at a time."""

    mode: Mode = "process_pool"
    """Where the function runs."""
    address: Text | None = None
    """dask, ray: the address of the cluster; without it, one of the sweep's own on this machine."""
    workers: Count | Literal["auto"] = "auto"
    """How many runs at a time; auto: one for each CPU that this process may use."""
    cpu_threshold: Annotated[float, Field(gt=0, le=100)] = 80
    """dynamic: nothing new starts while the CPUs are busier than this, in percent."""
    cpu_limit: Text | None = None
    """dynamic: the limit on Prefect's server that shows, and sets, how many may run."""
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which an attempt is ended."""
    timeout: Annotated[str, Field(pattern=r"^\d+(\.\d+)?x$"), AfterValidator(_a_factor)] | None = (
        None
    )
    """The same for a multiple of the median duration of the attempts that have succeeded: `5x`."""
    fresh_process: bool = False
    """Each attempt gets a process of its own."""
    max_runs_per_worker: Count | None = None
    """Attempts after which a worker process is replaced."""
    order: Order = "given"
    """In which order configs are started."""
    min_free_memory: Annotated[str, AfterValidator(_memory)] | None = None
    """Nothing new starts while less memory is free: an amount (4GB) or a share (10%)."""
    gpus: Literal["auto"] | Annotated[int, Field(ge=0, le=0)] | GpuNumbers | None = None
    """auto: each run gets one of the GPUs that are there; or the GPUs by number; 0: none."""
    slots_per_gpu: Count = 1
    """How many runs share a GPU."""
    stop_grace_s: Annotated[float, Field(ge=0)] = 2
    """Seconds that runs get to end by themselves once the sweep is stopped, or their time is
    over."""


class Limit(Section):
    """A limit on Prefect's server, shared by all that name it."""

    limit: Count
    """How many slots it is made with where the server has none of that name."""
    slots: Count = 1
    """How many slots an attempt takes."""
    where: Filters | None = None
    """Only attempts of configs that match take slots."""


def _as_limit(value: Any) -> Any:
    return {"limit": value} if isinstance(value, int) and not isinstance(value, bool) else value


LimitOrCount: TypeAlias = Annotated[
    Limit, BeforeValidator(_as_limit, json_schema_input_type=Count | Limit)
]


class Stop(Section):
    """Rules by which the sweep stops, or holds configs back."""

    max_failures: Count | Annotated[str, AfterValidator(_failures)] | None = None
    """So many configs have failed: a count, or a share of all (5%)."""
    max_consecutive_failures: Count | None = None
    """So many have failed one after the other."""
    fail_fast: bool = False
    """The first has failed."""
    max_runtime: Annotated[float | str, AfterValidator(_runtime)] | None = None
    """So long ago it was started: seconds, or a time (2h)."""
    breaker: Annotated[int, Field(ge=2)] | None = None
    """Where so many configs that share a value fail alike, and others do not, the rest with that
    value are held back."""


class Retry(Section):
    """When a failed run is tried again."""

    max_attempts: Count = 1
    """How often a run is tried, the first time included."""
    retry_on: list[Text] = ["Exception"]
    """Names of exception classes (each stands for all that inherit from it, too) and causes of
    death: timeout, out of memory, disk full, node lost, exit CODE, signal NAME."""
    not_on: list[Text] = []
    """Such names that are never tried again."""
    delay_s: Annotated[float, Field(ge=0)] = 0
    """Seconds before the second attempt."""
    backoff: Annotated[float, Field(ge=1)] = 1
    """Each later wait is this many times the one before."""


class TrackerSpec(Section):
    """A tracker by name."""

    type: Text
    """Its name: jsonl, mlflow, wandb, or one that an installed package brings."""
    kwargs: dict[Key, Any] = Field(default_factory=dict)
    """What it is made with."""


def _as_tracker(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


TrackerOrName: TypeAlias = Annotated[
    TrackerSpec, BeforeValidator(_as_tracker, json_schema_input_type=Text | TrackerSpec)
]


class Metadata(Section):
    """What `meta.json` says of each run besides what is found out by itself."""

    experiment_name: Text | None = None
    """The experiment's name; without it the sweep's name."""
    group: Text | None = None
    """A name for runs that belong together across sweeps."""
    tags: list[Text] | dict[Key, str] | None = None
    """Free labels."""
    parent_run_id: Text | None = None
    """The run that these runs go on from."""
    dataset_version: Text | None = None
    """The version of the data; without it the config's `dataset_version` or `data_version`."""
