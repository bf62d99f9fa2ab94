"""Without its framework, a module says in one sentence which extra brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = """
import sys
for package in {packages}:
    sys.modules[package] = None
try:
    import argus_tasks.integrations.{module}
except ImportError as error:
    print(type(error).__name__, error)
import argus_tasks.integrations
"""


@pytest.mark.parametrize(
    ("module", "packages", "what"),
    [
        ("lightning", ["lightning", "pytorch_lightning"], "lightning or pytorch_lightning"),
        ("keras", ["keras"], "keras"),
        ("hydra", ["hydra"], "hydra"),
    ],
)
def test_the_extra_is_named(module: str, packages: list[str], what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(module=module, packages=packages)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = f"MissingExtra {what} is not installed: pip install 'argus-tasks[{module}]'\n"
    assert done.stdout == said
