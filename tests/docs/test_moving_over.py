"""The pages for people who come from elsewhere: what they have and what they get is the same."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import argus
import pytest
import yaml

import argus_tasks
from argus_tasks.base.ids import canonical_json
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.sweep_spec import SweepSpec

DOCS = Path(__file__).parents[2] / "docs"
SNIPPET = re.compile(
    r"<!-- (before|after|with Hydra|as a script) -->\n```(\w+)\n(.*?)```", re.DOTALL
)


def snippet(page: str, when: str, language: str) -> str:
    (found,) = [
        code
        for mark, kind, code in SNIPPET.findall((DOCS / page).read_text(encoding="utf-8"))
        if (mark, kind) == (when, language)
    ]
    return str(found)


def said_by(program: str, folder: Path) -> str:
    """What `python PROGRAM` prints in the folder; it must end well."""
    done = subprocess.run(
        [sys.executable, program],
        cwd=folder,
        env={**os.environ, "PREFECT_LOGGING_LEVEL": "WARNING"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def argus_tasks_says(folder: Path, *words: str, code: int = 0) -> str:
    """What a command prints in the folder, on both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def configs_of(text: str) -> set[str]:
    return {
        canonical_json(config)
        for config in expand(SweepSpec.from_mapping(yaml.safe_load(text))).configs
    }


def nested(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The config with a dotted key set, as Hydra's overrides do."""
    first, _, rest = key.partition(".")
    inner = nested(dict(config.get(first, {})), rest, value) if rest else value
    return {**config, first: inner}


def over(config: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The config with nested overrides laid over it."""
    return config | {
        key: over(config[key], value) if isinstance(value, dict) else value
        for key, value in overrides.items()
    }


def test_hydras_params_and_the_sweep_file_are_the_same_configs() -> None:
    app = yaml.safe_load(snippet("from-hydra-multirun.md", "before", "yaml"))
    params = app.pop("hydra")["sweeper"]["params"]
    lists = [[yaml.safe_load(each) for each in str(text).split(",")] for text in params.values()]
    theirs = set()
    for values in itertools.product(*lists):
        config = app
        for key, value in zip(params, values, strict=True):
            config = nested(config, key, value)
        theirs.add(canonical_json(config))
    assert len(theirs) == 12
    assert configs_of(snippet("from-hydra-multirun.md", "after", "yaml")) == theirs
    shorter = configs_of(snippet("from-hydra-multirun.md", "with Hydra", "yaml"))
    assert {canonical_json(over(app, json.loads(config))) for config in shorter} == theirs
    run_with_each("from-hydra-multirun.md")


def test_wandbs_parameters_and_the_sweep_file_are_the_same_configs() -> None:
    sweep = yaml.safe_load(snippet("from-wandb-sweeps.md", "before", "yaml"))
    choices = {
        key: given["values"] if "values" in given else [given["value"]]
        for key, given in sweep["parameters"].items()
    }
    theirs = {
        canonical_json(dict(zip(choices, values, strict=True)))
        for values in itertools.product(*choices.values())
    }
    assert len(theirs) == 6
    assert configs_of(snippet("from-wandb-sweeps.md", "after", "yaml")) == theirs
    assert configs_of(snippet("from-wandb-sweeps.md", "as a script", "yaml")) == theirs
    answer = run_with_each("from-wandb-sweeps.md")
    assert sweep["metric"]["name"] in answer


def run_with_each(page: str) -> dict[str, Any]:
    """The page's function, called with each config of the page's sweep file."""
    names: dict[str, Any] = {}
    exec(snippet(page, "after", "python"), names)
    answer: dict[str, Any] = {}
    for config in configs_of(snippet(page, "after", "yaml")):
        ctx = SimpleNamespace(config=json.loads(config), log_metric=lambda *_, **__: None)
        answer = names["run"](ctx)
        assert all(isinstance(value, float) for value in answer.values())
    return answer


def test_what_argus_reporter_has_is_here_with_its_arguments() -> None:
    page = (DOCS / "from-argus-reporter.md").read_text(encoding="utf-8")
    (kept,) = re.findall(r"\n(`Reporter`, .*?) keep names", page, re.DOTALL)
    names = re.findall(r"`(\w+)`", kept)
    assert len(names) == 8
    for name in names:
        theirs, ours = getattr(argus, name), getattr(argus_tasks, name)
        if callable(theirs) and name != "JobContext":  # nobody makes one by hand
            there = inspect.signature(theirs).parameters
            here = inspect.signature(ours).parameters
            assert [n for n in there if n not in here and n[0] != "_"] == [], name
    assert "is named `metrics`, not `m`" in page
    for name in ("epoch", "log", "upload"):
        there = inspect.signature(getattr(argus.JobContext, name)).parameters
        here = inspect.signature(getattr(argus_tasks.JobContext, name)).parameters
        assert [n for n in there if n not in here and n[0] != "_"] == [], name


@pytest.mark.slow
def test_joblibs_loop_and_the_sweep_print_the_same(served: str, tmp_path: Path) -> None:
    for when in ("before", "after"):
        (tmp_path / f"{when}.py").write_text(snippet("from-joblib.md", when, "python"))
    theirs = said_by("before.py", tmp_path)
    assert sorted(said_by("after.py", tmp_path).splitlines()) == sorted(theirs.splitlines())
    assert len(theirs.splitlines()) == 4


THEIRS = """
    import sys

    import ztxexp

    from experiment import run

    CONFIGS = [
        {"model": model, "lr": lr, "seed": seed}
        for model in ("mlp", "linear") for lr in (1, 0.1) for seed in (0, 1, 2)
    ]
    if __name__ == "__main__":
        print(ztxexp.ExpRunner(CONFIGS, sys.argv[1], run).run(mode="process_pool", workers=2))
"""
EXPERIMENT = """
    import os


    def run(ctx):
        config = ctx.config
        if "BROKEN" in os.environ and (config["lr"], config["seed"]) == (1, 2):
            raise ValueError("too much")
        ctx.log_metric(0, {"loss": config["lr"]})
        worse = 0.3 if config["model"] == "linear" else 0
        return {"loss": config["lr"] + worse + config["seed"] / 1000}
"""


@pytest.mark.slow
def test_the_folders_that_ztxexp_wrote_are_read_by_what_the_page_names(
    served: str, tmp_path: Path
) -> None:
    (tmp_path / "theirs.py").write_text(textwrap.dedent(THEIRS))
    (tmp_path / "experiment.py").write_text(textwrap.dedent(EXPERIMENT))
    for root, broken in (("results", {"BROKEN": "1"}), ("other-results", {})):
        subprocess.run(
            [sys.executable, "theirs.py", root],
            cwd=tmp_path,
            env={**os.environ, **broken},
            check=True,
            timeout=120,
        )
    before = {path: path.read_bytes() for path in (tmp_path / "results").glob("2*/*.*")}

    assert "10 succeeded, 2 failed" in argus_tasks_says(tmp_path, "results", "results")
    assert "mlp wins by loss" in argus_tasks_says(tmp_path, "report", "results")
    said = argus_tasks_says(tmp_path, "compare", "results", "other-results")
    assert "2 no evidence, 2 not comparable" in said
    argus_tasks_says(tmp_path, "baseline", "set", "before", "results")
    argus_tasks_says(tmp_path, "compare", "before", "other-results")
    failed = json.loads(argus_tasks_says(tmp_path, "results", "results", "--json"))["runs"]
    failed_ids = [run["run_id"] for run in failed if run["status"] == "failed"]
    assert "too much" in argus_tasks_says(tmp_path, "logs", failed_ids[0])
    assert "2 runs" in argus_tasks_says(tmp_path, "clean", "results", "--status", "failed")

    # What the page says it cannot do.
    said = argus_tasks_says(tmp_path, "verify", "results")
    assert "12 runs have no checksums in a ledger" in said
    for words in (("status",), ("history", "loss"), ("rerun", "results", "--failed")):
        assert "there " in argus_tasks_says(tmp_path, *words, code=2)

    # The page's way to run again what failed.
    (tmp_path / "again.py").write_text(snippet("from-ztxexp.md", "after", "python"))
    assert "2 of 2 succeeded\n" in said_by("again.py", tmp_path)
    said = argus_tasks_says(tmp_path, "results", "results")
    assert "12 runs (2 older of the same configs left out): 12 succeeded" in said
    assert argus_tasks_says(tmp_path, "verify", "results").count("all is whole") == 1
    assert {path: path.read_bytes() for path in before} == before

    # And a sweep over all of it: what only ztxexp has run is run once, and reused from then on.
    (tmp_path / "sweep.yaml").write_text(
        "experiment: experiment:run\n"
        "grid: {model: [mlp, linear], lr: [1, 0.1], seed: [0, 1, 2]}\nresults_root: results\n"
    )
    assert "2 succeeded already, reused" in argus_tasks_says(tmp_path, "plan", "sweep.yaml")
