"""Experiments: found without being imported, identified, sent."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import experiment_from
from tests.support import experiments
from tests.support.sessions import request_for, run_configs


def test_a_functions_identity_is_its_import_path() -> None:
    found = experiment_from(experiments.noop)
    assert found.former_identity == found.path == "tests.support.experiments:noop"
    assert found.identity == "tests/support/experiments.py:noop"
    assert found.pickled is None
    assert found.name == "noop"


def closure(value: Any) -> Callable[[Any], dict[str, Any]]:
    def inner(ctx: Any) -> dict[str, Any]:
        return {"value": value}

    return inner


def test_closures_are_their_code_and_values() -> None:
    one, same, other = (experiment_from(closure(value)).identity for value in (1, 1, 2))
    assert one is not None
    assert one == same
    assert one != other


def test_what_cannot_be_sent_is_refused_for_workers_alone(results_root: Path) -> None:
    """In sequential and thread nothing is sent, so the advice is right."""
    with open_socket() as held:

        def talks(ctx: Any) -> dict[str, Any]:
            return {"port": held.getsockname()[1]}

        with pytest.raises(BadInput, match=r"cannot be sent to a worker process .*'thread'\.$"):
            request_for([{"a": 1}], talks, results_root)
        assert not results_root.exists()
        for mode in ("sequential", "thread"):
            summary = run_configs([{"mode": mode}], talks, results_root, mode=mode)
            assert (summary.succeeded, summary.failed) == (1, 0)


def open_socket() -> socket.socket:
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    return opened


def test_what_a_closure_holds_may_have_no_text() -> None:
    assert experiment_from(closure(object())).identity is None


def test_a_lambdas_identity_is_the_same_in_another_process() -> None:
    code = (
        "from argus_tasks.experiments.experiment import experiment_from\n"
        "k = 3\n"
        "print(experiment_from(lambda ctx: {'a': {1, 2, 3}, 'k': k, 'f': (lambda: 1)()}).identity)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"},
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert said[0].startswith("code:")


def test_a_path_is_found_in_the_files_folder_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text("raise SystemExit('imported')\n")
    found = experiment_from("heavy:run", tmp_path)
    assert found.identity == "heavy.py:run"
    assert found.folder == str(tmp_path)


def test_a_files_path_is_the_module_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "heavy.py").write_text("def run(ctx): return {}\n")
    found = experiment_from("lab/heavy.py:run", tmp_path)
    assert (found.identity, found.folder) == ("heavy.py:run", str(tmp_path / "lab"))
    with pytest.raises(BadInput, match="there is no file"):
        experiment_from("lab/light.py:run", tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nope:run", "there is no module 'nope'"),
        ("justaname", "expected an import path such as 'package.module:function'"),
        (":run", "expected an import path"),
        (3, "expected a function or an import path"),
    ],
)
def test_bad_experiments_are_named(given: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        experiment_from(given, tmp_path)


def test_a_missing_function_is_named_with_the_near_one() -> None:
    with pytest.raises(BadInput, match=r"has no 'nop'. Did you mean 'noop'\?"):
        experiment_from("tests.support.experiments:nop").load()
