"""What is loaded when: Prefect and the network cost seconds, so nobody pays for them unasked."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("prefect", "httpx", "pydantic", "jinja2"),
    *("numpy", "pandas", "rich", "asyncio", "multiprocessing"),
}


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('\\n', ' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import argus_tasks") & HEAVY
    assert "argus_tasks.api" not in loaded_by("import argus_tasks")


def test_its_names_are_there_without_prefect() -> None:
    loaded = loaded_by("from argus_tasks import *\nfrom argus_tasks import sweep_flow")
    assert not loaded & {"prefect", "httpx", "jinja2"}


def test_a_worker_loads_neither_prefect_nor_pydantic() -> None:
    assert not loaded_by("import argus_tasks.workers.isolation.worker") & {
        *HEAVY - {"multiprocessing"}
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["plan", "examples/forecast/sweep.yaml"],
        ["schema"],
        ["results", "--help"],
    ],
)
def test_commands_that_only_look_do_not_import_prefect(words: list[str]) -> None:
    loaded = loaded_by(
        "from argus_tasks.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass"
    )
    assert not loaded & {"prefect", "httpx", "jinja2"}
