"""Docstrings of what `argus_tasks` exports: they name arguments and results, and their examples
run."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import argus_tasks
from argus_tasks.results.tables.frames import results

EXPORTED: dict[str, Any] = {name: getattr(argus_tasks, name) for name in argus_tasks.__all__}
EXPORTED["results"] = results
EXAMPLES = {
    name: found
    for name, value in EXPORTED.items()
    if (found := [one for one in doctest.DocTestFinder().find(value, name) if one.examples])
}


WITH_ARGUMENTS = (
    *("sweep_flow", "ExpRunner", "RunContext", "RunMetadata", "RunSummary", "SweepFailed"),
    *("SweepStopped", "Tracker", "JsonlTracker", "MetricEvent", "results"),
)


def documented() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function and method of these."""
    for name in WITH_ARGUMENTS:
        value = EXPORTED[name]
        if inspect.isclass(value):
            for each, member in list(vars(value).items()):
                function = getattr(member, "__func__", member)
                if not each.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{each}", function
        elif inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize(("name", "function"), list(documented()))
def test_a_docstring_says_arguments_and_result(name: str, function: Callable[..., Any]) -> None:
    signature = inspect.signature(function)
    text = inspect.getdoc(function) or ""
    taken = [one for one in signature.parameters if one not in ("self", "cls")]
    if taken:
        assert "Args:" in text, name
        _, _, args = text.partition("Args:\n")
        assert [one for one in taken if f"\n    {one}: " not in f"\n{args}"] == [], name
    if signature.return_annotation not in ("None", None):
        assert "Returns:" in text, name


def test_the_most_used_calls_have_an_example() -> None:
    assert len([one for found in EXAMPLES.values() for one in found]) >= 10
    assert {"sweep_flow", "ExpRunner", "RunContext", "results"} <= set(EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: str
) -> None:
    assert served
    for place, example in enumerate(EXAMPLES[name]):
        folder = tmp_path / str(place)
        folder.mkdir()
        monkeypatch.chdir(folder)
        wrong: list[str] = []
        doctest.DocTestRunner(verbose=False).run(example, out=wrong.append)
        assert not wrong, "".join(wrong)
