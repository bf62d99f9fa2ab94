"""A lab a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.provenance.lab import Lab

NewLab = Callable[..., Lab]


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[NewLab]:
    """Makes labs, each in a folder of its own; their processes end with the test."""
    labs: list[Lab] = []

    def make(**settings: Any) -> Lab:
        place = tmp_path / str(len(labs))
        place.mkdir()
        labs.append(Lab(place, **settings))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()
