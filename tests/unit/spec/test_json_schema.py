"""The JSON schema takes what the program takes, and refuses what it can refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.json_schema import json_schema
from argus_tasks.spec.sweep_spec import SweepSpec

VALIDATOR = Draft202012Validator(json_schema())
FULL: dict[str, Any] = {
    "$schema": "x",
    "experiment": "a.b:c.d",
    "command": "c {x}",
    "cwd": "d",
    "shell": True,
    "trackers": ["jsonl", {"type": "mine", "kwargs": {"a": 1}}],
    "name": "n",
    "project": "p",
    "experiment_type": "t",
    "results_root": "r",
    "on_code_change": "stop",
    "base": {"a": None, "b": {"c": [1]}},
    "grid": {"x": [1, "a", None, [1], {"d": 1}]},
    "variants": [{"v": 1}],
    "random": {
        "n": 1,
        "seed": 2,
        "space": {
            "p": {"uniform": [0, 1.5]},
            "q": {"log_uniform": [0.1, 1]},
            "r": {"int": [1, 2]},
            "s": {"choice": [None, 1]},
        },
    },
    "search": {
        "sampler": "cmaes",
        "n_trials": 3,
        "metric": "loss",
        "direction": "max",
        "pruner": "asha",
        "seed": 1,
        "storage": "sqlite:///study.db",
        "space": {"o": {"int": [1, 2]}},
    },
    "include": [{"x": {"gt": 0, "in": [1], "not": 3}}, {"x": [1, 2]}, {"x": None}, {"x": "a"}],
    "exclude": {"x": 3, "p": {"le": 2.5}, "v": {"glob": "a*"}, "q": {"not": [1]}},
    "repeats": {"n": 2, "seed": 1},
    "ignore_keys": ["x"],
    "inputs": ["data/*.csv"],
    "code": {"include": ["lib/*.R"], "exclude": ["plots/*"], "freeze": True},
    "job": {"id": "{x}", "model": "m", "dataset": "d"},
    "execution": {
        "mode": "dynamic",
        "workers": 2,
        "cpu_threshold": 50,
        "cpu_limit": "gpu-box",
        "timeout_s": 0.5,
        "timeout": "2.5x",
        "fresh_process": True,
        "max_runs_per_worker": 1,
        "nice": 5,
        "stop_grace_s": 0,
        "order": "smoke_first",
        "min_free_memory": "10%",
        "gpus": [0, 1],
        "slots_per_gpu": 2,
    },
    "stop": {
        "max_failures": "5%",
        "max_consecutive_failures": 3,
        "fail_fast": True,
        "max_runtime": 7200,
        "breaker": 3,
    },
    "limits": {"license": 2, "disk": {"limit": 4, "slots": 2, "where": {"x": [1, 2]}}},
    "retry": {
        "max_attempts": 2,
        "retry_on": ["OSError", "out of memory"],
        "not_on": ["exit 3"],
        "delay_s": 0.5,
        "backoff": 2,
    },
    "metadata": {
        "experiment_name": "e",
        "group": "g",
        "tags": {"a": "b"},
        "parent_run_id": "p",
        "dataset_version": "1",
    },
}
BAD: list[dict[str, Any]] = [
    {"gird": {}},
    {"experiment": "a.py"},
    {"name": ""},
    {"grid": {"a": []}},
    {"grid": {"a": 1}},
    {"variants": []},
    {"variants": {}},
    {"random": {"n": 0, "space": {"a": {"choice": [1]}}}},
    {"random": {"n": 1, "space": {}}},
    {"random": {"n": 1, "space": {"a": {"uniform": [0]}}}},
    {"random": {"n": 1, "space": {"a": {"uniform": [0, 1], "choice": [1]}}}},
    {"random": {"n": 1, "space": {"a": {"integers": [0, 1]}}}},
    {"exclude": {"a": {"gtt": 1}}},
    {"exclude": {"a": {}}},
    {"exclude": "a"},
    {"repeats": 0},
    {"repeats": {"seed": 1}},
    {"execution": {"workers": 0}},
    {"execution": {"workers": "four"}},
    {"execution": {"timeout": "5"}},
    {"execution": {"max_runs_per_worker": 0}},
    {"execution": {"nice": 20}},
    {"execution": {"mode": "spark"}},
    {"execution": {"cpu_threshold": 0}},
    {"limits": {"license": 0}},
    {"limits": {"license": {"slots": 1}}},
    {"limits": {"license": {"limit": 1, "where": {"a": {"gtt": 1}}}}},
    {"search": {"n_trials": 3, "direction": "min", "space": {"o": {"int": [1, 2]}}}},
    {"search": {"metric": "loss", "direction": "less", "space": {"o": {"int": [1, 2]}}}},
    {"search": {"metric": "loss", "direction": "min", "space": {}}},
    {"execution": {"order": "random"}},
    {"execution": {"gpus": 2}},
    {"execution": {"gpus": []}},
    {"execution": {"gpus": [-1]}},
    {"execution": {"gpus": "all"}},
    {"execution": {"slots_per_gpu": 0}},
    {"execution": {"min_free_memory": 4}},
    {"stop": {"max_failures": 0}},
    {"stop": {"max_consecutive_failures": "5%"}},
    {"stop": {"fail_fast": 1}},
    {"stop": {"breaker": 1}},
    {"retry": {"backoff": 0}},
    {"retry": {"max_attempts": "3"}},
    {"metadata": {"tags": [1]}},
    {"metadata": {"owner": "me"}},
    {"command": []},
    {"command": {"a": 1}},
    {"command": ["a", 1]},
    {"shell": "yes"},
    {"experiment": "hydra:a/app"},
    {"trackers": "mlflow"},
    {"trackers": [{"kwargs": {}}]},
    {"trackers": [{"type": "mlflow", "url": "x"}]},
]


def test_it_is_a_schema() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    for name, node in schema["properties"].items():
        assert node.get("description"), f"{name} has no description"


def test_it_takes_every_key() -> None:
    SweepSpec.from_mapping(FULL)
    VALIDATOR.validate(FULL)
    assert set(FULL) == set(json_schema()["properties"])


@pytest.mark.parametrize("bad", BAD, ids=[json.dumps(bad) for bad in BAD])
def test_it_refuses_what_the_program_refuses(bad: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(bad)
    with pytest.raises(BadInput):
        SweepSpec.from_mapping(bad)


def test_the_command_prints_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", "schema"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == json_schema()
    assert done.stderr == ""
