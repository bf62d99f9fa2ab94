"""What pydantic finds wrong with a sweep file, as sentences for the person who wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from argus_tasks.base.errors import did_you_mean
from argus_tasks.base.redact import redact
from argus_tasks.spec.document import Path, Problem, dotted
from argus_tasks.spec.modes import Mode
from argus_tasks.spec.order import ORDERS

_COUNT = "an integer of 1 or more"
_TEXT = "text"
_CAUSES = "a list of names of exception classes or causes of death"
_KEYS = "a list of keys"
_TEMPLATE = 'text with keys of the config in braces, such as "{model}-{dataset}"'
_FILTER = "a mapping of keys to conditions, or a list of such mappings"
_CONDITION = "a value, a list of values, or a mapping of gt, ge, lt, le, in, not or glob"

_RANDOM: dict[tuple[str, ...], str] = {
    ("random",): "a mapping of n, seed and space",
    ("random", "n"): _COUNT,
    ("random", "seed"): "an integer",
    ("random", "space"): "a mapping of keys to distributions, with at least one",
    ("random", "space", "*"): "a mapping with one of uniform, log_uniform, int and choice",
    ("random", "space", "*", "uniform"): "[low, high], low < high",
    ("random", "space", "*", "log_uniform"): "[low, high], 0 < low < high",
    ("random", "space", "*", "int"): "[low, high], two integers, low <= high",
    ("random", "space", "*", "choice"): "a list of at least one value",
}

# What is expected at each path; `*` stands for any key or index. The longest that fits is said.
EXPECTED: dict[tuple[str, ...], str] = {
    ("experiment",): '"package.module:function", or "hydra:path/to/app.py"',
    ("command",): "a command line, as text or as a list of texts",
    ("cwd",): "a path",
    ("shell",): "true or false",
    ("name",): _TEXT,
    ("project",): _TEXT,
    ("experiment_type",): _TEXT,
    ("results_root",): "a path",
    ("on_code_change",): "one of warn, rerun, stop",
    ("base",): "a mapping of keys to values",
    ("grid",): "a mapping of keys to lists of values",
    ("grid", "*"): "a list of at least one value",
    ("variants",): "a list of at least one mapping",
    ("variants", "*"): "a mapping of keys to values",
    **_RANDOM,
    (
        "search",
    ): "a mapping of sampler, n_trials, metric, direction, pruner, seed, space and storage",
    ("search", "sampler"): "one of tpe, random, grid, cmaes",
    ("search", "n_trials"): _COUNT,
    ("search", "metric"): _TEXT,
    ("search", "direction"): "min or max",
    ("search", "pruner"): "one of none, median, asha",
    ("search", "seed"): "an integer",
    ("search", "storage"): 'a path, or a URL such as "sqlite:///study.db"',
    **{
        ("search", *pattern[1:]): expected
        for pattern, expected in _RANDOM.items()
        if "space" in pattern
    },
    ("include",): _FILTER,
    ("include", "*"): _FILTER,
    ("include", "*", "*"): _CONDITION,
    ("exclude",): _FILTER,
    ("exclude", "*"): _FILTER,
    ("exclude", "*", "*"): _CONDITION,
    **{
        (*section, "*", "*", name): expected
        for section in (("include",), ("exclude",), ("limits", "*", "where"))
        for name, expected in {
            "gt": "a number",
            "ge": "a number",
            "lt": "a number",
            "le": "a number",
            "in": "a list of at least one value",
            "not": "a value, or a list of at least one value",
            "glob": "a pattern as text",
        }.items()
    },
    ("repeats",): f"{_COUNT}, or a mapping of n and seed",
    ("repeats", "n"): _COUNT,
    ("repeats", "seed"): "an integer",
    ("ignore_keys",): _KEYS,
    ("job",): "a mapping of id, model and dataset",
    ("job", "id"): _TEMPLATE,
    ("job", "model"): _TEMPLATE,
    ("job", "dataset"): _TEMPLATE,
    ("execution",): (
        "a mapping of mode, address, workers, cpu_threshold, cpu_limit, timeout_s, timeout,"
        " fresh_process, max_runs_per_worker, order, min_free_memory, gpus, slots_per_gpu and"
        " stop_grace_s"
    ),
    ("execution", "mode"): f"one of {', '.join(get_args(Mode))}",
    ("execution", "address"): 'text, such as "tcp://10.0.0.1:8786"',
    ("execution", "workers"): f"{_COUNT}, or auto",
    ("execution", "cpu_threshold"): "a number above 0 and at most 100",
    ("execution", "cpu_limit"): _TEXT,
    ("execution", "timeout_s"): "a number above 0",
    ("execution", "timeout"): 'a multiple of the median duration, above 1x, such as "5x"',
    ("execution", "fresh_process"): "true or false",
    ("execution", "max_runs_per_worker"): _COUNT,
    ("execution", "order"): f"one of {', '.join(ORDERS)}",
    ("execution", "min_free_memory"): 'an amount such as "4GB", or a share such as "10%"',
    ("execution", "gpus"): "auto, a list of GPU numbers such as [0, 1], or 0 for none",
    ("execution", "slots_per_gpu"): _COUNT,
    ("execution", "stop_grace_s"): "a number of 0 or more",
    ("limits",): "a mapping of names of limits to how many slots they have",
    ("limits", "*"): f"{_COUNT}, or a mapping of limit, slots and where",
    ("limits", "*", "limit"): _COUNT,
    ("limits", "*", "slots"): _COUNT,
    ("limits", "*", "where"): _FILTER,
    ("limits", "*", "where", "*"): _FILTER,
    ("limits", "*", "where", "*", "*"): _CONDITION,
    ("stop",): (
        "a mapping of max_failures, max_consecutive_failures, fail_fast, max_runtime and breaker"
    ),
    ("stop", "max_failures"): f'{_COUNT}, or a share such as "5%"',
    ("stop", "max_consecutive_failures"): _COUNT,
    ("stop", "fail_fast"): "true or false",
    ("stop", "max_runtime"): 'seconds above 0, or a time such as "2h", "90m" or "1h30m"',
    ("stop", "breaker"): "an integer of 2 or more",
    ("retry",): "a mapping of max_attempts, retry_on, not_on, delay_s and backoff",
    ("retry", "max_attempts"): _COUNT,
    ("retry", "retry_on"): _CAUSES,
    ("retry", "not_on"): _CAUSES,
    ("retry", "delay_s"): "a number of 0 or more",
    ("retry", "backoff"): "a number of 1 or more",
    ("metadata",): "a mapping of experiment_name, group, tags, parent_run_id and dataset_version",
    ("metadata", "experiment_name"): _TEXT,
    ("metadata", "group"): _TEXT,
    ("metadata", "tags"): "a list of texts, or a mapping of text to text",
    ("metadata", "parent_run_id"): _TEXT,
    ("metadata", "dataset_version"): _TEXT,
    ("trackers",): "a list of names, or of mappings of type and kwargs",
    ("trackers", "*"): "a name, or a mapping of type and kwargs",
    ("trackers", "*", "type"): _TEXT,
    ("trackers", "*", "kwargs"): "a mapping",
}


def problems_of(error: ValidationError, given: Mapping[str, Any]) -> list[Problem]:
    """A problem for each thing that is wrong, each with its path in what was given."""
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False, include_context=False):
        location: Path = detail["loc"]
        if detail["type"] == "extra_forbidden":
            problem = _unknown_key(location, given)
        elif detail["type"] == "missing":
            path = (*given_path(location[:-1], given), location[-1])
            problem = Problem(
                path, f"{dotted(path)} is missing; expected {_expected(location)[1]}."
            )
        else:
            problem = _wrong_value(location, given)
        found.setdefault(problem.path, problem)
    return list(found.values())


def _wrong_value(location: Path, given: Mapping[str, Any]) -> Problem:
    depth, expected = _expected(location)
    path = given_path(location[:depth], given)
    value = shown(_at(path, given))
    return Problem(path, f"{dotted(path)} is {value}; expected {expected}.")


def _unknown_key(location: Path, given: Mapping[str, Any]) -> Problem:
    above = given_path(location[:-1], given)
    key = str(location[-1])
    names = _names(tuple("*" if isinstance(p, int) else p for p in location[:-1]))
    where = f"in {dotted(above)}" if above else "here"
    homes = [pattern[0] for pattern in EXPECTED if len(pattern) == 2 and pattern[1] == key]
    if not above and homes:
        hint = f" It belongs in '{homes[0]}'."
    else:
        hint = did_you_mean(key, names) or f" There are {', '.join(names)}."
    return Problem((*above, key), f"'{key}' is not a key {where}.{hint}")


def _names(section: tuple[str, ...]) -> list[str]:
    """The keys that a section has."""
    return [
        pattern[-1]
        for pattern in EXPECTED
        if len(pattern) == len(section) + 1
        and pattern[-1] != "*"
        and all(_fits(want, part) for want, part in zip(pattern, section, strict=False))
    ]


def _expected(location: Path) -> tuple[int, str]:
    """How much of the location a known path covers, and what is expected there."""
    for depth in range(len(location), 0, -1):
        for pattern, expected in EXPECTED.items():
            if len(pattern) == depth and all(map(_fits, pattern, location)):
                return depth, expected
    return 0, "a sweep file"


def _fits(want: str, part: str | int) -> bool:
    return want == "*" or want == part


def given_path(location: Path, given: Any) -> Path:
    """The location as far as it is in what was given.

    Short forms (a mapping for a list of one, a number for a mapping) are checked in their long
    form; their locations have steps that the file does not have.
    """
    path: list[str | int] = []
    at = given
    for part in location:
        if isinstance(at, list):
            inside = part in range(len(at))
        else:
            inside = isinstance(at, Mapping) and part in at
        if inside:
            at = at[part]
            path.append(part)
        elif not (isinstance(at, Mapping) and isinstance(part, int)):
            break
    return tuple(path)


def _at(path: Path, given: Any) -> Any:
    for part in path:
        given = given[part]
    return given


def shown(value: Any) -> str:
    """The value as the file would have it, cut where it is long."""
    text = redact(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else f"{text[:57]}..."
