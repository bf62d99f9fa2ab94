"""Hydra apps as experiments, with the real Hydra."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.hydra_app import override_value, overrides
from argus_tasks.planning.resolve import resolve
from tests.support.scripts import metrics_of
from tests.support.sessions import records, request_for, run_configs

APP = """
import os
import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import beside

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    kind = cfg.get("kind", "dict")
    if kind == "number":
        return cfg.lr
    if kind == "none":
        return None
    if kind == "list":
        return [cfg.lr]
    if kind == "raise":
        raise ValueError("no")
    hydra_cfg = HydraConfig.get()
    return {
        **OmegaConf.to_container(cfg, resolve=True),
        "out": hydra_cfg.runtime.output_dir,
        "job": hydra_cfg.job.name,
        "cwd": os.getcwd(),
        "env": os.environ.get("OF_THE_JOB"),
        "beside": beside.HERE,
    }

def plain(cfg):
    return cfg.lr
"""

CONFIG = """
defaults: [{optim: sgd}, _self_]
lr: 0.1
double: ${twice}
twice: 2
name: x
items: [1]
nested: {a: {b: 1}}
hydra: {job: {chdir: true, env_set: {OF_THE_JOB: "yes"}}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    (folder / "conf" / "optim").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "beside.py").write_text("HERE = 1\n")
    (folder / "conf" / "config.yaml").write_text(CONFIG)
    for name, keep in (("sgd", 0), ("momentum", 0.8)):
        (folder / "conf" / "optim" / f"{name}.yaml").write_text(f"keep: {keep}\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("mode", ["process_pool", "sequential"])
def test_configs_are_composed(mode: Any, results_root: Path, here: Path) -> None:
    before = list(sys.path), dict(sys.modules)
    configs: list[dict[str, Any]] = [
        {"lr": 0.5, "optim": "momentum", "nested": {"a": {"b": 2}}, "+new": "it's, [a] {b}"},
        {"~optim": None, "items": [1, "a b", None, {"c": True}], "name": None, "twice": 4},
    ]
    run_configs(configs, "hydra:app.py", results_root, mode=mode, workers=1)
    found = {"+new" in record["config"]: record for record in records(results_root)}
    for record in found.values():
        assert record["status"] == "succeeded", (record["dir"] / "error.log").read_text()
    first, second = metrics_of(found[True]), metrics_of(found[False])
    run_dir = str(found[True]["dir"])
    common = {"job": "app", "env": "yes", "beside": 1}
    assert first == common | {
        "optim": {"keep": 0.8},
        "lr": 0.5,
        "double": 2,
        "twice": 2,
        "name": "x",
        "items": [1],
        "nested": {"a": {"b": 2}},
        "new": "it's, [a] {b}",
        "out": run_dir,
        "cwd": run_dir,
    }
    assert "optim" not in second
    assert second["items"] == [1, "a b", None, {"c": True}]
    assert (second["name"], second["double"]) == (None, 4)
    overridden = (found[False]["dir"] / ".hydra" / "overrides.yaml").read_text()
    assert "- ~optim\n" in overridden
    assert (found[True]["dir"] / ".hydra" / "config.yaml").exists()
    if mode == "sequential":  # what it has changed of the caller's is as it was
        assert Path.cwd() == here
        sys.path[:] = before[0]
        for name in set(sys.modules) - set(before[1]):
            if name in ("app", "beside"):
                del sys.modules[name]


def test_what_the_function_returns(results_root: Path) -> None:
    kinds = ("number", "none", "list", "raise")
    run_configs([{"+kind": kind} for kind in kinds], "hydra:app.py:main", results_root)
    found = {record["config"]["+kind"]: record for record in records(results_root)}
    said = {kind: (found[kind]["cause"], metrics_of(found[kind])) for kind in kinds}
    assert said == {
        "number": (None, {"objective": 0.1}),
        "none": (None, None),
        "list": ("TypeError", None),
        "raise": ("ValueError", None),
    }
    assert 'raise ValueError("no")' in (found["raise"]["dir"] / "error.log").read_text()


def test_a_key_that_the_app_lacks_is_hydras_to_refuse(results_root: Path) -> None:
    run_configs([{"no_such": 1}], "hydra:app.py", results_root)
    (record,) = records(results_root)
    assert record["cause"] == "ConfigCompositionException"
    assert "no_such" in record["error_message"]


def test_which_function(here: Path, results_root: Path) -> None:
    two = APP + "\n\n@hydra.main(version_base=None)\ndef other(cfg):\n    return 1.0\n"
    (here / "two.py").write_text(two)
    (here / "none.py").write_text("def main(cfg): pass\n")
    for path, sentence in {
        "hydra:two.py": r"two.py has 2 functions with @hydra.main \(main, other\); expected one",
        "hydra:none.py": r"none.py has 0 functions with @hydra.main \(none\)",
        "hydra:app.py:mian": "app.py has no function 'mian' with @hydra.main. Did you mean 'main'",
        "hydra:app.py:plain": "app.py has no function 'plain' with @hydra.main",
    }.items():
        with pytest.raises(BadInput, match=sentence):
            request_for([{}], path, results_root).experiment.load()
    run_configs([{}], "hydra:two.py:other", results_root)
    assert metrics_of(records(results_root)[0]) == {"objective": 1.0}
    sys.path.remove(str(here))


def test_what_it_is_does_not_depend_on_how_it_is_found(here: Path, tmp_path: Path) -> None:
    (here / "sweep.yaml").write_text("experiment: hydra:app.py\ngrid: {lr: [1]}\n")
    (tmp_path / "sweep.yaml").write_text("experiment: hydra:here/app.py\ngrid: {lr: [1]}\n")
    one, other = (resolve(folder / "sweep.yaml").experiment for folder in (here, tmp_path))
    assert one == other
    assert one.identity == "app.py:hydra:"
    assert one.former_identity == f"hydra:{here.resolve()}/app.py"


def test_hydra_has_one_state_a_process(results_root: Path) -> None:
    with pytest.raises(
        BadInput, match="mode is 'thread', but Hydra has one state for the whole process"
    ):
        request_for([{}], "hydra:app.py", results_root, mode="thread")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0$"), max_size=12)
    | st.text("\\'\"ab ,{}[]=()", max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES)
@example("a\\'b")
@example("\\")
@example("'\\\\'")
def test_hydra_reads_a_value_as_it_is(value: Any) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (parsed,) = OverridesParser.create().parse_overrides([f"key={override_value(value)}"])
    assert parsed.value() == value
    assert json.dumps(parsed.value()) == json.dumps(value)


def test_overrides() -> None:
    config = {"a": {"b": {"c": 1}, "d": {}}, "x.y": 2, "+n": True, "~gone": None}
    assert overrides(config) == ["a.b.c=1", "a.d={}", "x.y=2", "+n=true", "~gone"]
