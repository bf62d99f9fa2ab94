"""The examples in the docstrings of the public API run as they stand, against a server."""

from __future__ import annotations

import doctest
import inspect
from typing import Any

import pytest

import argus_tasks
from argus_tasks import JobContext, Reporter
from argus_tasks.reporting import active
from tests.argus_server import ArgusServer

WITH_EVENTS = [Reporter, Reporter.job, JobContext, JobContext.epoch, JobContext.metrics]
WITHOUT_EVENTS = [argus_tasks.get_batch_id, argus_tasks.derive_batch_id, argus_tasks.sub_env]
SECTIONS = [
    *(getattr(Reporter, name) for name in ("__init__", "job", "emit", "fail", "end", "leave")),
    *(getattr(JobContext, name) for name in ("epoch", "point", "metrics", "log", "upload")),
    active.emit,
    argus_tasks.new_batch_id,
    argus_tasks.set_batch_id,
    argus_tasks.derive_batch_id,
    argus_tasks.sub_env,
]


def run_examples(of: Any) -> None:
    (found,) = [
        test
        for test in doctest.DocTestFinder(recurse=False).find(of, globs={"Reporter": Reporter})
        if test.name.endswith(of.__name__)
    ]
    assert found.examples
    said: list[str] = []
    result = doctest.DocTestRunner().run(found, out=said.append)
    assert result.failed == 0, "".join(said)


@pytest.mark.parametrize("of", [*WITH_EVENTS, active.emit], ids=lambda of: of.__qualname__)
def test_an_example_reports_a_batch(of: Any, server: ArgusServer) -> None:
    run_examples(of)
    batches = {row["batch_id"] for row in server.rows()}
    assert [server.batch(batch_id)["status"] for batch_id in batches] == ["done"]


@pytest.mark.parametrize("of", WITHOUT_EVENTS, ids=lambda of: of.__qualname__)
def test_an_example_has_its_result(of: Any) -> None:
    run_examples(of)


@pytest.mark.parametrize("of", SECTIONS, ids=lambda of: of.__qualname__)
def test_arguments_and_results_are_described(of: Any) -> None:
    """Each argument in `Args:`; `Returns:` where there is a result."""
    text = inspect.getdoc(of) or ""
    signature = inspect.signature(of)
    names = [name for name in signature.parameters if name != "self"]
    assert "Args:" in text
    for name in names:
        assert f"\n    {name}: " in text, name
    if signature.return_annotation != "None":
        assert "Returns:" in text
