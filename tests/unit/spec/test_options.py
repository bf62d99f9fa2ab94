"""An option is declared once: calls, flows, the command line and the page are held to it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from argus_tasks import sweep_flow
from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import build_parser
from argus_tasks.spec.options import SECTIONS, Option, options, override
from argus_tasks.spec.sweep_spec import SweepSpec

# What a call has besides the options of the sweep file.
OF_THE_CALL = {"configs", "experiment", "metadata", "trackers", "fresh", "raise_on_failure"}
PAGE = (Path(__file__).parents[3] / "docs" / "sweep-file.md").read_text(encoding="utf-8")


def test_sweep_flow_has_every_option_and_describes_it() -> None:
    signature = inspect.signature(sweep_flow)
    assert signature.parameters.keys() == options().keys() | OF_THE_CALL
    said = " ".join(str(sweep_flow.__doc__).split())
    for name in OF_THE_CALL:
        assert f" {name}: " in said, name
    for name, option in options().items():
        assert f" {name}: {option.field.description}" in said, name


def test_the_flow_shows_every_option_with_its_description() -> None:
    from argus_tasks.flows.sweep import sweep

    shown = sweep.parameters.model_dump()["properties"]
    assert shown.keys() == options().keys() | {"configs", "experiment", "fresh"}
    assert all(field["description"] for field in shown.values())


@pytest.mark.parametrize("option", options().values(), ids=options().keys())
def test_a_description_is_a_sentence_that_says_the_default(option: Option) -> None:
    sentence = str(option.field.description)
    assert re.fullmatch(r"[A-Z][^.]*\b.*\w\W*\.", sentence), sentence
    assert len(sentence.split()) >= 8, sentence
    if option.section:
        assert "By default" in sentence, sentence
    if option.name.endswith("_s"):
        assert "in seconds" in sentence, sentence


@pytest.mark.parametrize("command", ["run", "plan"])
def test_flags_are_made_of_the_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args([command, "--help"])
    told = capsys.readouterr().out
    mappings = {"search", "job", "limits", "tracker_specs"}
    for name in options().keys() - mappings:
        assert f"--{name.replace('_', '-')}" in told, name


def test_a_flag_has_the_type_of_its_option() -> None:
    flags = "--workers 3 --timeout 5x --max-failures 5% --delay-s 0.5 --gpus 0,1 --no-fail-fast"
    flags += " --retry-on A,B --inputs data"
    given = vars(build_parser().parse_args(["run", "f.yaml", *flags.split()]))
    found = {
        name.removeprefix("option_"): value
        for name, value in given.items()
        if name.startswith("option_") and value is not None
    }
    assert found == {
        "workers": 3,
        "timeout": "5x",
        "max_failures": "5%",
        "delay_s": 0.5,
        "gpus": [0, 1],
        "fail_fast": False,
        "retry_on": ["A", "B"],
        "inputs": ["data"],
    }
    override(SweepSpec(), found)


def test_every_option_stands_on_the_page() -> None:
    for option in options().values():
        key = f"{option.section}.{option.key}" if option.section else option.key
        assert f"`{key}`" in PAGE or f"### {key}" in PAGE, key


def test_what_a_call_gives_wins_and_the_rest_stays() -> None:
    spec = SweepSpec.from_mapping({"execution": {"workers": 2, "timeout_s": 9}, "name": "a"})
    changed = override(spec, {"workers": 5, "max_attempts": 3, "retry_on": ("A",), "name": None})
    assert (changed.execution.workers, changed.execution.timeout_s) == (5, 9)
    assert (changed.retry.max_attempts, changed.retry.retry_on, changed.name) == (3, ["A"], "a")


def test_what_is_wrong_is_said_by_the_name_of_the_call() -> None:
    with pytest.raises(BadInput) as caught:
        override(SweepSpec(), {"workers": 0, "backoff": 0.5})
    assert str(caught.value).splitlines() == [
        "workers is 0; expected an integer of 1 or more, or auto.",
        "backoff is 0.5; expected a number of 1 or more.",
    ]
    with pytest.raises(BadInput, match=r"'worker' is not an option.* Did you mean 'workers'\?"):
        override(SweepSpec(), {"worker": 1})


def test_no_two_sections_have_an_option_of_one_name() -> None:
    fields = [SweepSpec.model_fields[section].annotation for section in SECTIONS]
    names = [name for model in fields if model for name in model.model_fields]
    assert len(names) == len(set(names))
