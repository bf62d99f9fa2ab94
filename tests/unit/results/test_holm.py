"""Holm's correction, by the numbers of a hand calculation."""

from __future__ import annotations

import numpy as np
import pytest

from argus_tasks.results.stats.tests import holm


def test_a_p_value_is_never_below_that_of_a_smaller_one() -> None:
    adjusted, level = holm(np.array([0.01, 0.04, 0.03, 0.005]), 0.05)
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # The two that are rejected were held to a fourth and a third, the others to a half.
    assert level == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])


def test_none_is_above_one_and_each_row_is_a_comparison_of_its_own() -> None:
    adjusted, level = holm(np.array([[0.5, 0.9], [0.02, 0.03]]), 0.05)
    assert adjusted == pytest.approx(np.array([[1.0, 1.0], [0.04, 0.04]]))
    assert level == pytest.approx(np.array([[0.025, 0.025], [0.025, 0.05]]))
