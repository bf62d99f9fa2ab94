"""GPUs through the flow, on a machine whose driver is a fake one: a real shared library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from argus_tasks import sweep_flow
from tests.integration.test_stopping import wait_for
from tests.support.fake_gpus import EXPERIMENT, build_library, start
from tests.support.sessions import records

SWEEP = """
import sys, json
from argus_tasks import sweep_flow
options = json.loads(sys.argv[1])
configs = options.pop("configs")
print(sweep_flow(configs, "on_gpu:run", **options).sentence())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "on_gpu.py").write_text(EXPERIMENT)
    (tmp_path / "marks").mkdir()
    return tmp_path


class Lab:
    """Starts sweeps on GPUs, each in a process of its own."""

    def __init__(self, folder: Path, library: Path, api_url: str) -> None:
        self.folder, self._library, self._api_url = folder, library, api_url

    def sweep(self, name: str, count: int, **options: Any) -> subprocess.Popen[str]:
        environment = {str(k): str(v) for k, v in options.pop("environment", {}).items()}
        more = options.pop("config", {})
        base = {"marks": str(self.folder / "marks"), **more}
        seconds = options.pop("seconds", [])
        each = [{"seconds": long} for long in seconds] or [{}] * count
        asked = {
            "name": name,
            "results_root": str(self.folder / name),
            "configs": [base | {"x": x} | each[x] for x in range(count)],
            "gpus": "auto",
            **options,
        }
        return start(
            self._library,
            SWEEP,
            json.dumps(asked),
            PREFECT_API_URL=self._api_url,
            PYTHONPATH=str(self.folder),
            **environment,
        )

    def told(self, process: subprocess.Popen[str]) -> str:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        return out.strip()

    def found(self, name: str) -> list[dict[str, Any]]:
        """What the runs of a sweep have found, and what their folders say of their GPU."""
        return [
            json.loads((record["dir"] / "metrics.json").read_text())
            | {"meta": json.loads((record["dir"] / "meta.json").read_text())["extras"].get("gpu")}
            for record in records(self.folder / name)
            if record["status"] == "succeeded"
        ]

    def taken(self) -> int:
        return len(list((self.folder / "marks").iterdir()))


@pytest.fixture
def on_gpus(lab: Path, library: Path, api_url: str) -> Lab:
    return Lab(lab, library, api_url)


def test_each_run_has_a_slot_of_its_own_before_its_module_is_loaded(on_gpus: Lab) -> None:
    told = on_gpus.told(on_gpus.sweep("own", 12, slots_per_gpu=2))
    assert told == "12 of 12 succeeded", "no two were in one slot"
    found = on_gpus.found("own")
    assert {run["gpu"] for run in found} == {"0", "1"}
    assert {run["slot"] for run in found} <= {"0", "1"}
    assert all(run["at_load"] == run["gpu"] for run in found)
    assert {run["order"] for run in found} == {"PCI_BUS_ID"}
    for run in found:
        uuid = f"GPU-fake-{run['gpu']}"
        assert run["meta"] == {"id": run["gpu"], "uuid": uuid, "slot": int(run["slot"])}
    places: dict[int, set[tuple[str, str]]] = {}
    for run in found:
        places.setdefault(run["pid"], set()).add((run["gpu"], run["slot"]))
    assert all(len(slots) == 1 for slots in places.values()), "a worker keeps its slot for life"
    assert len(places) <= 4, "and is used again"


@pytest.mark.slow
def test_two_sweeps_on_one_host_never_take_the_same_slot(on_gpus: Lab) -> None:
    sweeps = [on_gpus.sweep(name, 10, config={"seconds": 0.1}) for name in ("one", "other")]
    assert [on_gpus.told(sweep) for sweep in sweeps] == ["10 of 10 succeeded"] * 2


def test_a_killed_worker_and_a_killed_sweep_free_their_slots(on_gpus: Lab) -> None:
    told = on_gpus.told(
        on_gpus.sweep("killed", 4, config={"kill": True}, max_attempts=2, slots_per_gpu=1)
    )
    assert told == "4 of 4 succeeded"
    sweep = on_gpus.sweep("lost", 4, config={"seconds": 60})
    wait_for(lambda: on_gpus.taken() == 2)
    waiting = on_gpus.sweep("waits", 2, config={"seconds": 0, "other": 1})
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=4)
    for mark in (on_gpus.folder / "marks").iterdir():
        mark.unlink()
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.communicate(timeout=90)
    assert on_gpus.told(waiting) == "2 of 2 succeeded"


@pytest.mark.slow
def test_a_slot_that_nothing_follows_in_is_free_with_its_worker(on_gpus: Lab) -> None:
    long = on_gpus.sweep("long", 2, seconds=[0, 60], workers=2)
    wait_for(lambda: on_gpus.taken() == 1 and len(on_gpus.found("long")) == 1)
    (quick,) = on_gpus.found("long")
    other = on_gpus.sweep("other", 1)
    assert on_gpus.told(other) == "1 of 1 succeeded"
    assert [run["gpu"] for run in on_gpus.found("other")] == [quick["gpu"]]
    assert not Path(f"/proc/{quick['pid']}").exists(), "what idled there held memory of the GPU"
    long.send_signal(signal.SIGINT)
    long.communicate(timeout=90)


@pytest.mark.slow
def test_what_is_visible_already_is_what_there_is(on_gpus: Lab) -> None:
    sweep = on_gpus.sweep("seen", 3, gpus=[0], environment={"CUDA_VISIBLE_DEVICES": "1"})
    assert on_gpus.told(sweep) == "3 of 3 succeeded"
    assert {(run["gpu"], run["meta"]["uuid"]) for run in on_gpus.found("seen")} == {
        ("1", "GPU-fake-1")
    }


def test_a_gpu_that_is_not_there_is_said_before_anything_starts(on_gpus: Lab) -> None:
    sweep = on_gpus.sweep("none", 3, gpus=[0, 2])
    _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 1
    assert "gpus is [0, 2]; expected numbers of existing GPUs: there are 2" in err
    assert not (on_gpus.folder / "none").exists()


def test_no_gpu_for_anybody(
    served: str, lab: Path, results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(lab)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    configs = [{"marks": str(lab / "marks")}]
    sweep_flow(configs, "on_gpu:run", results_root=results_root, workers=1, gpus=0)
    (record,) = records(results_root)
    found = json.loads((record["dir"] / "metrics.json").read_text())
    assert (found["gpu"], found["at_load"], found["slot"]) == ("", "", None)
