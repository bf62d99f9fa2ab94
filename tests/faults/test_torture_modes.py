"""Every mode, ended in every way: a small part of `python -m tests.support.torture_modes`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.torture_modes import MODES, ModeTorture


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_whatever_ends_it_in_the_end_all_agree(mode: str, tmp_path: Path, cache: Path) -> None:
    if mode == "dask":
        pytest.importorskip("distributed")
    if mode == "search":
        pytest.importorskip("optuna")
    ModeTorture(tmp_path / mode, mode, 3, seed=16, cache=cache, frozen_s=3.0).run()
