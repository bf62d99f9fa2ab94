"""The examples in docstrings of the public API do what they show."""

from __future__ import annotations

import doctest

from argus_tasks.spec import sweep_spec


def test_the_example_of_sweep_spec() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(sweep_spec.SweepSpec, "SweepSpec", module=sweep_spec)
    assert len(example.examples) == 4
    assert doctest.DocTestRunner().run(example).failed == 0
