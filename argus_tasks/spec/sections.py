"""The sections of a sweep file as pydantic models. docs/sweep-file.md says what they mean.

The sentences for what is wrong with a value are in `spec.problems`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from argus_tasks.spec.modes import Mode
from argus_tasks.spec.order import Order
from argus_tasks.spec.quantities import bytes_of, seconds_of, share_of
from argus_tasks.spec.templates import check_template
from argus_tasks.spec.time_limit import factor_of

OnCodeChange: TypeAlias = Literal["warn", "rerun", "stop"]


class Section(BaseModel):
    """What all sections share: no unknown key, no silent conversion, not changed once read."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value is to be: the end of the sentence that says what is wrong with another one.

    It stands in the type of a key. A key without one is described by its type: a section, a choice.
    """

    words: str


Flag: TypeAlias = Annotated[bool, Expected("true or false")]
Integer: TypeAlias = Annotated[int, Expected("an integer")]
Count: TypeAlias = Annotated[int, Field(ge=1), Expected("an integer of 1 or more")]
Number: TypeAlias = Annotated[float, Expected("a number")]
Above0: TypeAlias = Annotated[float, Field(gt=0), Expected("a number above 0")]
From0: TypeAlias = Annotated[float, Field(ge=0), Expected("a number of 0 or more")]
Key: TypeAlias = Annotated[str, Field(min_length=1)]
Text: TypeAlias = Annotated[str, Field(min_length=1), Expected("text")]
FilePath: TypeAlias = Annotated[str, Field(min_length=1), Expected("a path")]
Values: TypeAlias = Annotated[
    list[Any], Field(min_length=1), Expected("a list of at least one value")
]
Names: TypeAlias = Annotated[
    list[Text], Expected("a list of names of exception classes or causes of death")
]
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

    uniform: (
        Annotated[Pair, AfterValidator(_rising), Expected("[low, high], low < high")] | None
    ) = Field(None, description="A number between low and high: `[low, high]`, low < high.")
    log_uniform: (
        Annotated[Pair, AfterValidator(_rising_above_zero), Expected("[low, high], 0 < low < high")]
        | None
    ) = Field(
        None, description="A number whose logarithm is uniform: `[low, high]`, 0 < low < high."
    )
    integers: (
        Annotated[
            IntegerPair,
            AfterValidator(_not_falling),
            Expected("[low, high], two integers, low <= high"),
        ]
        | None
    ) = Field(None, alias="int", description="An integer, both ends included: `[low, high]`.")
    choice: Values | None = Field(None, description="One of the values.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Distribution:
        if len(self.model_fields_set) != 1 or _a_null_is_given(self):
            raise ValueError
        return self


Space: TypeAlias = Annotated[
    dict[
        Key,
        Annotated[
            Distribution, Expected("a mapping with one of uniform, log_uniform, int and choice")
        ],
    ],
    Field(min_length=1),
    Expected("a mapping of keys to distributions, with at least one"),
]


class RandomDraws(Section):
    """Random draws; each point of grid and variants is crossed with each draw."""

    n: Count = Field(description="How many draws.")
    seed: Integer = Field(0, description="Another seed gives other draws.")
    space: Space = Field(description="What is drawn: a distribution for each key.")


ValueOrValues: TypeAlias = Annotated[
    Values,
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Any
    ),
    Expected("a value, or a list of at least one value"),
]


class Condition(Section):
    """What a config's value must be; several conditions must all hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    gt: Number | None = Field(None, description="Greater than.")
    ge: Number | None = Field(None, description="At least.")
    lt: Number | None = Field(None, description="Less than.")
    le: Number | None = Field(None, description="At most.")
    one_of: Values | None = Field(None, alias="in", description="Equal to one of these values.")
    none_of: ValueOrValues | None = Field(
        None,
        alias="not",
        description="Equal to none of these values (or to this value), or not there.",
    )
    glob: Annotated[str, Expected("a pattern as text")] | None = Field(
        None, description="Text that matches the pattern: `*`, `?`, `[abc]`."
    )

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
        Expected("a value, a list of values, or a mapping of gt, ge, lt, le, in, not or glob"),
    ],
]
_FILTER = Expected("a mapping of keys to conditions, or a list of such mappings")
Filters: TypeAlias = Annotated[
    list[Annotated[Filter, _FILTER]],
    BeforeValidator(_as_filters, json_schema_input_type=Filter | list[Filter]),
    _FILTER,
]


class Repeats(Section):
    """How often each config is run, each time with its own `seed`."""

    n: Count = Field(description="How often.")
    seed: Integer | None = Field(
        None, description="The first seed; without it the config's own `seed`, else 0."
    )


def _as_repeats(value: Any) -> Any:
    return {"n": value} if isinstance(value, int) and not isinstance(value, bool) else value


RepeatsOrCount: TypeAlias = Annotated[
    Repeats,
    BeforeValidator(_as_repeats, json_schema_input_type=Count | Repeats),
    Expected("an integer of 1 or more, or a mapping of n and seed"),
]

Template: TypeAlias = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(check_template),
    Expected('text with keys of the config in braces, such as "{model}-{dataset}"'),
]


class JobTemplates(Section):
    """Names made of a config's values: `"{model}-{dataset}-s{seed}"`."""

    id: Template | None = Field(
        None, description="The readable name of a run, in Prefect and on the monitor."
    )
    model: Template | None = Field(None, description="The model that the monitor groups by.")
    dataset: Template | None = Field(None, description="The dataset that the monitor groups by.")


def _a_factor(timeout: str) -> str:
    factor_of(timeout)
    return timeout


def _memory(given: str) -> str:
    bytes_of("min_free_memory", given)
    return given


def _failures(given: str) -> str:
    if not 0 < (share_of(given) or 0) <= 1:
        raise ValueError
    return given


def _runtime(given: float | str) -> float | str:
    seconds_of("max_runtime", given)
    return given


def _no_gpu_twice(numbers: list[int]) -> list[int]:
    if len(set(numbers)) < len(numbers):
        raise ValueError
    return numbers


GpuNumbers: TypeAlias = Annotated[
    list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_no_gpu_twice)
]
Gpus: TypeAlias = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=0, le=0)] | GpuNumbers,
    Expected("auto, a list of GPU numbers such as [0, 1] with each once, or 0 for none"),
]


class Execution(Section):
    """Where and how many at a time."""

    mode: Mode = Field("process_pool", description="Where the function runs.")
    address: Annotated[Text, Expected('text, such as "tcp://10.0.0.1:8786"')] | None = Field(
        None,
        description="dask, ray: the address of the cluster; without it, one of the sweep's own on"
        " this machine.",
    )
    workers: Annotated[Count | Literal["auto"], Expected("an integer of 1 or more, or auto")] = (
        Field(
            "auto",
            description="How many runs at a time; auto: one for each CPU that this process may"
            " use.",
        )
    )
    cpu_threshold: Above0 = Field(
        80,
        description="dynamic: nothing new starts while the CPUs are busier than this, in percent.",
    )
    cpu_limit: Text | None = Field(
        None,
        description="dynamic: the limit on Prefect's server that shows, and sets, how many may"
        " run.",
    )
    timeout_s: Above0 | None = Field(None, description="Seconds after which an attempt is ended.")
    timeout: (
        Annotated[
            str,
            Field(pattern=r"^\d+(\.\d+)?x$"),
            AfterValidator(_a_factor),
            Expected('a multiple of the median duration, above 1x, such as "5x"'),
        ]
        | None
    ) = Field(
        None,
        description="The same for a multiple of the median duration of the attempts that have"
        " succeeded: `5x`.",
    )
    fresh_process: Flag = Field(False, description="Each attempt gets a process of its own.")
    max_runs_per_worker: Count | None = Field(
        None, description="Attempts after which a worker process is replaced."
    )
    order: Order = Field("given", description="In which order configs are started.")
    min_free_memory: (
        Annotated[
            str,
            AfterValidator(_memory),
            Expected('an amount such as "4GB", or a share such as "10%"'),
        ]
        | None
    ) = Field(
        None,
        description="Nothing new starts while less memory is free: an amount (4GB) or a share"
        " (10%).",
    )
    gpus: Gpus | None = Field(
        None,
        description="auto: each run gets one of the GPUs that are there; or the GPUs by number; 0:"
        " none.",
    )
    slots_per_gpu: Count = Field(1, description="How many runs share a GPU.")
    stop_grace_s: From0 = Field(
        2,
        description="Seconds that runs get to end by themselves once the sweep is stopped, or"
        " their time is over.",
    )


class Limit(Section):
    """A limit on Prefect's server, shared by all that name it."""

    limit: Count = Field(
        description="How many slots it is made with where the server has none of that name."
    )
    slots: Count = Field(1, description="How many slots an attempt takes.")
    where: Filters | None = Field(
        None, description="Only attempts of configs that match take slots."
    )


def _as_limit(value: Any) -> Any:
    return {"limit": value} if isinstance(value, int) and not isinstance(value, bool) else value


LimitOrCount: TypeAlias = Annotated[
    Limit,
    BeforeValidator(_as_limit, json_schema_input_type=Count | Limit),
    Expected("an integer of 1 or more, or a mapping of limit, slots and where"),
]


class Stop(Section):
    """Rules by which the sweep stops, or holds configs back."""

    max_failures: (
        Annotated[
            Count | Annotated[str, AfterValidator(_failures)],
            Expected('an integer of 1 or more, or a share such as "5%"'),
        ]
        | None
    ) = Field(None, description="So many configs have failed: a count, or a share of all (5%).")
    max_consecutive_failures: Count | None = Field(
        None, description="So many have failed one after the other."
    )
    fail_fast: Flag = Field(False, description="The first has failed.")
    max_runtime: (
        Annotated[
            float | str,
            AfterValidator(_runtime),
            Expected('seconds above 0, or a time such as "2h", "90m" or "1h30m"'),
        ]
        | None
    ) = Field(None, description="So long ago it was started: seconds, or a time (2h).")
    breaker: Annotated[int, Field(ge=2), Expected("an integer of 2 or more")] | None = Field(
        None,
        description="Where so many configs that share a value fail alike, and others do not, the"
        " rest with that value are held back.",
    )

    def most_failures(self, total: int) -> int | None:
        """How many failures of so many configs stop the sweep."""
        share = share_of(self.max_failures)
        if share is not None:
            return max(1, math.ceil(round(share * total, 9)))
        return None if self.max_failures is None else int(self.max_failures)

    def runtime_s(self) -> float | None:
        """The seconds after which the sweep is stopped."""
        if self.max_runtime is None:
            return None
        return seconds_of("max_runtime", self.max_runtime)


class Retry(Section):
    """When a failed run is tried again."""

    max_attempts: Count = Field(1, description="How often a run is tried, the first time included.")
    retry_on: Names = Field(
        ["Exception"],
        description="Names of exception classes (each stands for all that inherit from it, too)"
        " and causes of death: timeout, out of memory, disk full, node lost, exit CODE, signal"
        " NAME.",
    )
    not_on: Names = Field([], description="Such names that are never tried again.")
    delay_s: From0 = Field(0, description="Seconds before the second attempt.")
    backoff: Annotated[float, Field(ge=1), Expected("a number of 1 or more")] = Field(
        1, description="Each later wait is this many times the one before."
    )


class TrackerSpec(Section):
    """A tracker by name."""

    type: Text = Field(
        description="Its name: jsonl, mlflow, wandb, or one that an installed package brings."
    )
    kwargs: Annotated[dict[Key, Any], Expected("a mapping")] = Field(
        default_factory=dict, description="What it is made with."
    )


def _as_tracker(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


TrackerOrName: TypeAlias = Annotated[
    TrackerSpec,
    BeforeValidator(_as_tracker, json_schema_input_type=Text | TrackerSpec),
    Expected("a name, or a mapping of type and kwargs"),
]


class Metadata(Section):
    """What `meta.json` says of each run besides what is found out by itself."""

    experiment_name: Text | None = Field(
        None, description="The experiment's name; without it the sweep's name."
    )
    group: Text | None = Field(
        None, description="A name for runs that belong together across sweeps."
    )
    tags: (
        Annotated[
            list[Text] | dict[Key, str], Expected("a list of texts, or a mapping of text to text")
        ]
        | None
    ) = Field(None, description="Free labels.")
    parent_run_id: Text | None = Field(None, description="The run that these runs go on from.")
    dataset_version: Text | None = Field(
        None,
        description="The version of the data; without it the config's `dataset_version` or"
        " `data_version`.",
    )
