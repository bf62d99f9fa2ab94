"""The sections of a sweep file as pydantic models; docs/sweep-file.md describes them for users.

`spec.problems` makes the error messages from these models.
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
    """The base of all sections: unknown keys and type conversions are refused, and values are
    immutable."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value must be, in words: the end of the error message for a wrong value.

    It is part of the type of a key. A key without it is described by its type: a section or a
    choice.
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
    """The distribution that the values of one key are drawn from; exactly one of the four
    is given."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    uniform: (
        Annotated[Pair, AfterValidator(_rising), Expected("[low, high], low < high")] | None
    ) = Field(
        None,
        description="Draws a number between low and high, each equally likely: `[low, high]` with"
        " low < high.",
    )
    log_uniform: (
        Annotated[Pair, AfterValidator(_rising_above_zero), Expected("[low, high], 0 < low < high")]
        | None
    ) = Field(
        None,
        description="Draws a number between low and high whose logarithm is uniform: `[low, high]`"
        " with 0 < low < high.",
    )
    integers: (
        Annotated[
            IntegerPair,
            AfterValidator(_not_falling),
            Expected("[low, high], two integers, low <= high"),
        ]
        | None
    ) = Field(
        None,
        alias="int",
        description="Draws an integer from low to high, both included: `[low, high]` with low <="
        " high.",
    )
    choice: Values | None = Field(
        None, description="Draws one of these values, each equally likely."
    )

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
    """Random draws of values; each combination of `grid` and `variants` is run with each draw."""

    n: Count = Field(
        description="The number of draws. Each combination of `grid` and `variants` is run with"
        " each draw."
    )
    seed: Integer = Field(
        0,
        description="The seed of the random draws; another seed gives other draws. By default, 0.",
    )
    space: Space = Field(description="The keys whose values are drawn, each with its distribution.")


ValueOrValues: TypeAlias = Annotated[
    Values,
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=Any
    ),
    Expected("a value, or a list of at least one value"),
]


class Condition(Section):
    """Conditions on the value of one key of a config; all that are given must hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    gt: Number | None = Field(None, description="The value is a number greater than this.")
    ge: Number | None = Field(
        None, description="The value is a number greater than or equal to this."
    )
    lt: Number | None = Field(None, description="The value is a number less than this.")
    le: Number | None = Field(None, description="The value is a number less than or equal to this.")
    one_of: Values | None = Field(
        None, alias="in", description="The value is equal to one of these."
    )
    none_of: ValueOrValues | None = Field(
        None,
        alias="not",
        description="The value is equal to none of these, or the config does not have the key.",
    )
    glob: Annotated[str, Expected("a pattern as text")] | None = Field(
        None,
        description="The value is text that matches this pattern, in which `*`, `?` and `[abc]` are"
        " wildcards.",
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
    """The number of runs of each config, each with its own `seed`."""

    n: Count = Field(description="The number of runs of each config, each with its own `seed`.")
    seed: Integer | None = Field(
        None,
        description="The first seed; each further run has the next one. By default, the config's"
        " own `seed`, or 0 where it has none.",
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
    """Templates for the names of jobs, filled with the values of a config:
    `"{model}-{dataset}-s{seed}"`."""

    id: Template | None = Field(
        None,
        description="The readable name of a run in Prefect and on the monitor. By default, it is"
        " made of the model, the dataset, the seed and the keys that differ between"
        " configs.",
    )
    model: Template | None = Field(
        None,
        description="The model name that the monitor groups jobs by. By default, the config's"
        " `model`, `model.name` or `model_name`.",
    )
    dataset: Template | None = Field(
        None,
        description="The dataset name that the monitor groups jobs by. By default, the config's"
        " `dataset`, `dataset.name` or `dataset_name`.",
    )


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
    """The section `execution`: where experiments run, how many at the same time, and with which
    resources."""

    mode: Mode = Field(
        "process_pool",
        description="Where experiments run: `process_pool` (also named `joblib`) in worker"
        " processes; `dynamic` in worker processes, with new attempts held back while"
        " the CPUs are busy; `thread` on threads of the calling process; `sequential`"
        " one after the other in the calling process; `dask` or `ray` on a cluster. By"
        " default, `process_pool`.",
    )
    address: Annotated[Text, Expected('text, such as "tcp://10.0.0.1:8786"')] | None = Field(
        None,
        description="Modes `dask` and `ray` only: the address of the cluster, such as"
        " `tcp://10.0.0.1:8786`. By default, the sweep starts a cluster on this machine"
        " and ends it afterwards.",
    )
    workers: Annotated[Count | Literal["auto"], Expected("an integer of 1 or more, or auto")] = (
        Field(
            "auto",
            description="The largest number of runs at the same time. By default `auto`: one for"
            " each CPU that this process may use, or one for each GPU slot where `gpus` is given.",
        )
    )
    cpu_threshold: Above0 = Field(
        80,
        description="Mode `dynamic` only: no attempt is started while the CPUs are busier than"
        " this, in percent. By default, 80.",
    )
    cpu_limit: Text | None = Field(
        None,
        description="Mode `dynamic` only: the name of the global concurrency limit on Prefect's"
        " server that shows how many runs may be active at the same time, and where a"
        " person can set that number. By default, `argus-sweep-cpu-` followed by the"
        " host's name.",
    )
    timeout_s: Above0 | None = Field(
        None,
        description="The longest time that an attempt may take, in seconds. An attempt that takes"
        " longer is ended, with the cause `timeout`. By default, there is no limit.",
    )
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
        description="The longest time that an attempt may take, as a multiple of the median"
        " duration of the attempts that have succeeded, such as `5x`. Where `timeout_s`"
        " is given as well, the shorter limit counts. By default, there is no such"
        " limit.",
    )
    fresh_process: Flag = Field(
        False,
        description="Run each attempt in a new process. By default, a worker process runs one"
        " attempt after the other.",
    )
    max_runs_per_worker: Count | None = Field(
        None,
        description="The number of attempts after which a worker process is replaced by a new one."
        " By default, workers are not replaced.",
    )
    nice: Annotated[int, Field(ge=0, le=19), Expected("an integer from 0 to 19")] | None = Field(
        None,
        description="The niceness of worker processes, from 0 to 19: a higher value leaves more CPU"
        " time to other processes. It is added to the niceness of the sweep's own process. By"
        " default, nothing is added.",
    )
    order: Order = Field(
        "given",
        description="The order in which configs are started: `given` as in the file; `smoke_first`"
        " first a few configs that together contain every value, then those that are"
        " expected to take longest; `shuffle` at random. By default, `given`.",
    )
    min_free_memory: (
        Annotated[
            str,
            AfterValidator(_memory),
            Expected('an amount such as "4GB", or a share such as "10%"'),
        ]
        | None
    ) = Field(
        None,
        description="No attempt is started while less memory than this is free: an amount such as"
        " `4GB`, or a share of the memory such as `10%`. By default, free memory is not"
        " checked.",
    )
    gpus: Gpus | None = Field(
        None,
        description="The GPUs that runs use, one for each run: `auto` for all GPUs of this machine,"
        " a list of GPU numbers, or `0` for none. By default, GPUs are not assigned.",
    )
    slots_per_gpu: Count = Field(
        1, description="The number of runs that share a GPU at the same time. By default, 1."
    )
    stop_grace_s: From0 = Field(
        2,
        description="The time in seconds that a running attempt gets to end by itself after a stop"
        " or at its time limit, before it is killed. By default, 2.",
    )


class Limit(Section):
    """A global concurrency limit on Prefect's server, shared by everything that uses its name."""

    limit: Count = Field(
        description="The number of slots with which the limit is created, if Prefect's server has"
        " none of this name."
    )
    slots: Count = Field(1, description="The number of slots that an attempt takes. By default, 1.")
    where: Filters | None = Field(
        None,
        description="A filter: only attempts of matching configs take slots. By default, all"
        " attempts do.",
    )


def _as_limit(value: Any) -> Any:
    return {"limit": value} if isinstance(value, int) and not isinstance(value, bool) else value


LimitOrCount: TypeAlias = Annotated[
    Limit,
    BeforeValidator(_as_limit, json_schema_input_type=Count | Limit),
    Expected("an integer of 1 or more, or a mapping of limit, slots and where"),
]


class Stop(Section):
    """The section `stop`: rules that stop the sweep, or that hold back configs that are likely to
    fail."""

    max_failures: (
        Annotated[
            Count | Annotated[str, AfterValidator(_failures)],
            Expected('an integer of 1 or more, or a share such as "5%"'),
        ]
        | None
    ) = Field(
        None,
        description="Stop the sweep when this many configs have failed: a number, or a share of all"
        " configs such as `5%`. By default, there is no such rule.",
    )
    max_consecutive_failures: Count | None = Field(
        None,
        description="Stop the sweep when this many configs have failed one after the other. By"
        " default, there is no such rule.",
    )
    fail_fast: Flag = Field(
        False,
        description="Stop the sweep when the first config has failed. By default, it goes on.",
    )
    max_runtime: (
        Annotated[
            float | str,
            AfterValidator(_runtime),
            Expected('seconds above 0, or a time such as "2h", "90m" or "1h30m"'),
        ]
        | None
    ) = Field(
        None,
        description="Stop the sweep when this much time has passed since its start: a number of"
        " seconds, or a time such as `2h`, `90m` or `1h30m`. By default, there is no"
        " limit.",
    )
    breaker: Annotated[int, Field(ge=2), Expected("an integer of 2 or more")] | None = Field(
        None,
        description="Start no more configs with a value once this many configs with that value have"
        " failed in the same way, while configs without it succeed. By default, there is"
        " no such rule.",
    )

    def most_failures(self, total: int) -> int | None:
        """The number of failed configs that stops a sweep of `total` configs; None without such a
        rule."""
        share = share_of(self.max_failures)
        if share is not None:
            return max(1, math.ceil(round(share * total, 9)))
        return None if self.max_failures is None else int(self.max_failures)

    def runtime_s(self) -> float | None:
        """The time in seconds after which the sweep is stopped; None without such a rule."""
        if self.max_runtime is None:
            return None
        return seconds_of("max_runtime", self.max_runtime)


class Retry(Section):
    """The section `retry`: after which failures, and how often, a run is retried."""

    max_attempts: Count = Field(
        1,
        description="The largest number of attempts of a run, the first one included. By default 1:"
        " a failed run is not retried.",
    )
    retry_on: Names = Field(
        ["Exception"],
        description="The failures after which a run is retried: names of exception classes"
        " (subclasses are included) and of causes (`timeout`, `out of memory`, `disk"
        " full`, `node lost`, `exit CODE`, `signal NAME`). By default `Exception`: every"
        " exception, and every death of a worker process.",
    )
    not_on: Names = Field(
        [],
        description="The failures after which a run is never retried, named as in `retry_on`, which"
        " they overrule. By default, none.",
    )
    delay_s: From0 = Field(
        0, description="The time in seconds to wait before the second attempt. By default, 0."
    )
    backoff: Annotated[float, Field(ge=1), Expected("a number of 1 or more")] = Field(
        1,
        description="The factor by which each wait is longer than the one before it. By default 1:"
        " all waits are equally long.",
    )


class TrackerSpec(Section):
    """A tracker that each worker process creates by its name."""

    type: Text = Field(
        description="The tracker's name: `jsonl`, `mlflow`, `wandb`, or a name that an installed"
        " package registers."
    )
    kwargs: Annotated[dict[Key, Any], Expected("a mapping")] = Field(
        default_factory=dict, description="The keyword arguments that the tracker is created with."
    )


def _as_tracker(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


TrackerOrName: TypeAlias = Annotated[
    TrackerSpec,
    BeforeValidator(_as_tracker, json_schema_input_type=Text | TrackerSpec),
    Expected("a name, or a mapping of type and kwargs"),
]


class Metadata(Section):
    """The section `metadata`: facts to be recorded in the `meta.json` of each run, in addition to
    those that are recorded automatically."""

    experiment_name: Text | None = Field(
        None, description="The name of the experiment. By default, the name of the sweep."
    )
    group: Text | None = Field(
        None,
        description="A name shared by runs that belong together, across sweeps. By default, none.",
    )
    tags: (
        Annotated[
            list[Text] | dict[Key, str], Expected("a list of texts, or a mapping of text to text")
        ]
        | None
    ) = Field(
        None,
        description="Labels of any kind: a list of texts, or a mapping of text to text. By default,"
        " none.",
    )
    parent_run_id: Text | None = Field(
        None, description="The id of the run that these runs continue. By default, none."
    )
    dataset_version: Text | None = Field(
        None,
        description="The version of the data. By default, the config's `dataset_version` or"
        " `data_version`.",
    )
