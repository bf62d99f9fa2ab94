"""What workers find in their environment: their share of the cores, and what the user has set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.cpus import usable_cpus
from argus_tasks.workers.worker_environment import thread_counts
from tests.support import experiments
from tests.support.sessions import records, run_configs

NAMES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@pytest.mark.parametrize(
    ("workers", "cores", "share"), [(1, 8, "8"), (2, 8, "4"), (3, 8, "2"), (16, 8, "1")]
)
def test_cores_over_workers(workers: int, cores: int, share: str) -> None:
    assert thread_counts(workers, cores, {}) == dict.fromkeys(NAMES, share)


def test_what_the_user_has_set_stays() -> None:
    assert thread_counts(2, 8, {"MKL_NUM_THREADS": "3"}) == {
        name: "4" for name in NAMES if name != "MKL_NUM_THREADS"
    }
    # The others would follow the user's OMP_NUM_THREADS if nobody set them.
    assert thread_counts(2, 8, {"OMP_NUM_THREADS": "3"}) == {"NUMBA_NUM_THREADS": "4"}
    assert thread_counts(2, 8, dict.fromkeys(NAMES, "")) == {}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("options", [{}, {"fresh_process": True}], ids=["warm", "fresh"])
def test_workers_have_it_before_the_module_is_loaded(
    options: dict[str, Any], results_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loads_early.py").write_text(
        "import os\nAT_LOAD = dict(os.environ)\n"
        f"def run(ctx):\n    return {{name: AT_LOAD.get(name) for name in {NAMES}}}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    run_configs([{"x": 1}], "loads_early:run", results_root, workers=1, **options)  # type: ignore[arg-type]
    (record,) = records(results_root)
    found = (record["dir"] / "metrics.json").read_text()
    share = str(usable_cpus())
    for name in NAMES[:4]:
        assert f'"{name}": "{share}"' in found
    assert '"NUMBA_NUM_THREADS": "7"' in found
    assert "OMP_NUM_THREADS" not in os.environ, "the sweep's own process keeps its environment"


def test_a_thread_of_this_process_keeps_its_environment(results_root: Path) -> None:
    run_configs([{"x": 1}], experiments.noop, results_root, mode="thread")
    assert "OMP_NUM_THREADS" not in os.environ
