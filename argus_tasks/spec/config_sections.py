"""The sections of a sweep file that define its configs and their names, as pydantic models."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from argus_tasks.spec.templates import check_template
from argus_tasks.spec.value_types import (
    Count,
    Expected,
    Integer,
    IntegerPair,
    Key,
    Number,
    Pair,
    Section,
    Values,
)


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
