"""The sections of a sweep file that define how it is run, as pydantic models.

docs/sweep-file.md describes them for users. `spec.problems` makes the error messages from them.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from argus_tasks.spec.config_sections import (
    Filters,
)
from argus_tasks.spec.modes import Mode
from argus_tasks.spec.order import Order
from argus_tasks.spec.quantities import bytes_of, seconds_of, share_of
from argus_tasks.spec.time_limit import factor_of
from argus_tasks.spec.value_types import (
    Above0,
    Count,
    Expected,
    Flag,
    From0,
    Key,
    Names,
    Section,
    Text,
)

OnCodeChange: TypeAlias = Literal["warn", "rerun", "stop"]


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


class Code(Section):
    """The section `code`: what counts as the code of a run, and whether it is kept still."""

    include: Annotated[list[Text], Expected("a list of paths and glob patterns")] = Field(
        default_factory=list,
        description="Files that count as code though nothing sees that they are executed, as paths"
        " and glob patterns relative to the sweep file's folder. By default, none.",
    )
    exclude: Annotated[list[Text], Expected("a list of patterns of file names")] = Field(
        default_factory=list,
        description="Patterns of files whose changes do not count, by their paths below the"
        " project's top folder, such as `plots/*`. By default, none.",
    )
    freeze: Flag = Field(
        False,
        description="Run the sweep from a copy of the code that is taken at its start, so that the"
        " files can be edited meanwhile. By default, it runs from the files.",
    )


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
