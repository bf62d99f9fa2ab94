"""What lies below a results root has the modes that the umask says: two people can share it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.experiments import mixed
from tests.support.sessions import run_configs


@pytest.fixture(params=[0o002, 0o022, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def test_the_umask_decides(umask: int, results_root: Path) -> None:
    kinds = ("ok", "value_error", "skip")
    run_configs([{"kind": kind} for kind in kinds], mixed, results_root, mode="process_pool")
    files = [path for path in results_root.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        if "objects" not in path.parts:
            assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask, path
    store = results_root / ".sweep" / "objects"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.glob("??/*")}
    assert modes == {0o600, 0o666 & ~umask}, "sources are their owner's, manifests everybody's"
    for path in (path for path in results_root.rglob("*") if path.is_dir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask, path
