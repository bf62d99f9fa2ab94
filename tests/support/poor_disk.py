"""File systems that lack something, for processes that are started with this environment."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def poor_disk(
    folder: Path, *, no_links: Path | None = None, no_locks: Path | None = None
) -> dict[str, str]:
    """What the environment must hold; builds the library in `folder`. Skips without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a poor disk")
    library = folder / "poor_disk.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    found = {"NO_LINKS_UNDER": no_links, "NO_LOCKS_UNDER": no_locks}
    places = {name: str(place) for name, place in found.items() if place is not None}
    return {"LD_PRELOAD": str(library), **places}
