"""Values as docs/sweep-file.md says they are read."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.planning.defaults import default_project, default_results_root, results_root_here
from argus_tasks.spec.sweep_spec import SweepSpec, load_sweep_file


def base_of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> dict[str, Any]:
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return load_sweep_file(path, environ=environ or {}).base


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1_000", 1000),
        ("0x1F", 31),
        ("-0o17", -15),
        ("-3", -3),
        ("0", 0),
        ("-.inf", -math.inf),
        ("!!float 3", 3.0),
        ("!!str 3", "3"),
        ("yes", True),
        ("Off", False),
        ("TRUE", True),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1e-3'", "1e-3"),
        ('"no"', "no"),
        ("2024-01-31", "2024-01-31"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("007", "007"),
        ("1e", "1e"),
        ("e3", "e3"),
        ("y", "y"),
        ("=", "="),
        ("0b11", "0b11"),
        ("1.2.3", "1.2.3"),
        ("nan", "nan"),
        ("Größe", "Größe"),
        ("[a, 1, {b: [2]}]", ["a", 1, {"b": [2]}]),
        ("|\n    two\n    lines\n", "two\nlines\n"),
    ],
)
def test_scalars(written: str, value: object, tmp_path: Path) -> None:
    found = base_of(tmp_path, f"base:\n  x: {written}\n")["x"]
    assert found == value
    assert type(found) is type(value)


def test_nan(tmp_path: Path) -> None:
    assert math.isnan(base_of(tmp_path, "base: {x: .nan}\n")["x"])


def test_keys_are_text_as_written(tmp_path: Path) -> None:
    base = base_of(tmp_path, "base: {on: 1, 2: b, 1.50: c, null: d, 'a b': e}\n")
    assert base == {"on": 1, "2": "b", "1.50": "c", "null": "d", "a b": "e"}


def test_anchors_aliases_and_merges(tmp_path: Path) -> None:
    text = (
        "base:\n  a: &a {x: 1, y: [1]}\n  b: {<<: *a, x: 2}\n  c: {x: 3, <<: [{x: 4, z: 5}, *a]}\n"
    )
    base = base_of(tmp_path, text)
    assert base["b"] == {"x": 2, "y": [1]}
    assert base["c"] == {"x": 3, "y": [1], "z": 5}
    assert base["b"]["y"] is not base["a"]["y"]


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert load_sweep_file(path).name == "x"


def test_the_environment(tmp_path: Path) -> None:
    text = (
        "base:\n  a: ${N}\n  b: '${N}'\n  c: ${HOME}/data-${N}\n  d: $${N}\n  e: $N\n"
        '  ${N}: key\n  f: ["${FLAG}", {g: "${HOME}"}]\n  h: ${FLAG}\n  i: ${EMPTY}\n'
    )
    environ = {"N": "4", "HOME": "/home/ada", "FLAG": "yes", "EMPTY": ""}
    assert base_of(tmp_path, text, environ) == {
        "a": 4,
        "b": "4",
        "c": "/home/ada/data-4",
        "d": "${N}",
        "e": "$N",
        "${N}": "key",
        "f": ["yes", {"g": "/home/ada"}],
        "h": True,
        "i": None,
    }


def test_what_comes_from_the_environment_is_not_filled_in_again(tmp_path: Path) -> None:
    assert base_of(tmp_path, 'base: {a: "${A}"}\n', {"A": "${B}"}) == {"a": "${B}"}


def test_json_and_yaml_and_a_mapping_say_the_same(tmp_path: Path) -> None:
    mapping = {
        "$schema": "sweep.schema.json",
        "experiment": "a.b:c",
        "base": {"path": "${HOME}/x", "text": 'a\tb \\ " é 😀', "list": [1, 2.5, None, True]},
        "grid": {"optim.lr": [0.1, 1e-05]},
        "repeats": 2,
    }
    (tmp_path / "s.json").write_text(json.dumps(mapping, indent="\t"))
    (tmp_path / "s.yaml").write_text(json.dumps(mapping, ensure_ascii=False))
    environ = {"HOME": "/h"}
    made = SweepSpec.from_mapping(mapping, environ=environ).model_dump()
    assert made["base"]["path"] == "/h/x"
    assert made["name"] is None
    for name in ("s.json", "s.yaml"):
        assert load_sweep_file(tmp_path / name, environ=environ).model_dump() == made | {
            "name": "s"
        }


def test_what_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    Path("here/fore-cast.yaml").write_text("grid:\nexperiment: a:b\n")
    spec = load_sweep_file("here/fore-cast.yaml")
    assert spec.name == "fore-cast"
    assert spec.source == tmp_path / "here" / "fore-cast.yaml"
    assert spec.folder == tmp_path / "here"
    assert spec.results_path is None
    assert spec.experiment_type == "sweep"
    assert spec.execution.model_dump() == {
        "address": None,
        "mode": "process_pool",
        "workers": "auto",
        "cpu_threshold": 80,
        "cpu_limit": None,
        "timeout_s": None,
        "timeout": None,
        "fresh_process": False,
        "max_runs_per_worker": None,
        "nice": None,
        "order": "given",
        "min_free_memory": None,
        "gpus": None,
        "slots_per_gpu": 1,
        "stop_grace_s": 2,
    }
    assert spec.retry.max_attempts == 1
    assert spec.retry.retry_on == ["Exception"]
    assert spec.retry.not_on == []
    assert spec.grid == {}


def test_the_results_root_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    for given, path in {
        "out/../results": tmp_path / "results",
        "/data/results": Path("/data/results"),
        "~/results": Path("/home/ada/results"),
    }.items():
        file = tmp_path / "s.yaml"
        file.write_text(f"results_root: {given}\n")
        assert load_sweep_file(file).results_path == path


def test_the_home_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    inside, outside = tmp_path / "repo" / "deep", tmp_path / "plain"
    inside.mkdir(parents=True)
    outside.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=inside.parent, check=True)
    commit = [*git, "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(commit, cwd=inside.parent, check=True)
    monkeypatch.chdir(outside)
    assert default_project(inside) == "repo"
    assert default_results_root(inside) == inside.parent / "results"
    assert default_project(outside) == "plain"
    assert default_results_root(outside) == outside / "results"

    monkeypatch.chdir(inside)  # what reads looks here first
    assert results_root_here() == inside.parent / "results"
    (inside / "results").mkdir()
    assert results_root_here().absolute() == inside / "results"


def test_a_spec_does_not_change_and_can_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("grid: {a: [1]}\nrepeats: 2\n")
    spec = load_sweep_file(path)
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.source == spec.source


def test_names_of_the_python_attributes_are_not_keys() -> None:
    for wrong in (
        {"random": {"n": 1, "space": {"a": {"integers": [1, 2]}}}},
        {"exclude": {"a": {"one_of": [1]}}},
    ):
        with pytest.raises(BadInput, match="is not a key in"):
            SweepSpec.from_mapping(wrong)


def test_reading_a_sweep_file_loads_nothing_heavy() -> None:
    code = (
        "import sys, argus_tasks.spec.expansion, argus_tasks.spec.job_names\n"
        "import argus_tasks.spec.json_schema\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'prefect', 'httpx', 'numpy', 'pandas', 'rich', 'psutil', 'fastapi', 'asyncio'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
