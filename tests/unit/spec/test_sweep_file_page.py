"""docs/sweep-file.md: its examples work, its error is what comes, all keys are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.expansion import expand
from argus_tasks.spec.json_schema import json_schema
from argus_tasks.spec.problems import expected_values
from argus_tasks.spec.sweep_spec import SweepSpec, load_sweep_file

PAGE = (Path(__file__).parents[3] / "docs" / "sweep-file.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\S+)([^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
GOOD = [body for language, mark, body in BLOCKS if language == "yaml" and not mark]
WRONG = [body for language, mark, body in BLOCKS if language == "yaml" and mark.strip() == "wrong"]
TEXTS = [body for language, _, body in BLOCKS if language == "text"]


def test_the_page_has_examples() -> None:
    assert len(GOOD) >= 8
    assert len(WRONG) == len(TEXTS) == 1
    assert {(language, mark.strip()) for language, mark, _ in BLOCKS} == {
        ("yaml", ""),
        ("yaml", "wrong"),
        ("text", ""),
    }


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_an_example_expands_to_what_it_says(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    configs = expand(load_sweep_file(path, environ={"USER": "ada"})).configs
    said = re.search(r"# (\d+) configs", text)
    if said:
        assert len(configs) == int(said.group(1))
    assert configs


def test_the_first_example_has_the_configs_that_the_text_names(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(GOOD[0], encoding="utf-8")
    configs = expand(load_sweep_file(path)).configs
    assert len(configs) == 12
    assert [config["seed"] for config in configs[:3]] == [0, 1, 2]


def test_the_error_is_the_one_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(WRONG[0], encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_sweep_file("sweep.yaml")
    assert str(caught.value) + "\n" == TEXTS[0]


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_the_schema_takes_an_example(text: str) -> None:
    plain = text.replace("1e-", "1.0e-").replace("2024-01-31", "'2024-01-31'")  # for YAML 1.1
    Draft202012Validator(json_schema()).validate(yaml.safe_load(plain))


def test_the_schema_refuses_the_wrong_one() -> None:
    assert not Draft202012Validator(json_schema()).is_valid(yaml.safe_load(WRONG[0]))


SECTIONS = ("job", "execution", "retry", "stop", "code", "metadata")


def test_every_key_is_on_the_page() -> None:
    keys = {
        ".".join(path)
        for path in expected_values(SweepSpec)
        if "*" not in path and path not in {(s,) for s in SECTIONS}
    }
    missing = [key for key in sorted(keys) if f"`{key}`" not in PAGE and f"### {key}" not in PAGE]
    assert missing == ["repeats.n"]  # it stands in the text of `repeats`
