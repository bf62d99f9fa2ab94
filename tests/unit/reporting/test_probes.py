"""Snapshots: the server's names, and each reading fails alone."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from argus_tasks.reporting.probes import Probe


def driver(gpus: int, broken: set[str]) -> ModuleType:
    """A stand-in for NVML: there is no GPU where these tests run."""
    module = ModuleType("pynvml")

    def reading(name: str, value: Any) -> None:
        def call(*_: Any) -> Any:
            if name in broken:
                raise RuntimeError(f"{name} is not supported")
            return value

        setattr(module, name, call)

    module.__dict__["NVML_TEMPERATURE_GPU"] = 0
    mine = SimpleNamespace(pid=os.getpid(), usedGpuMemory=300 * 2**20)
    other = SimpleNamespace(pid=1, usedGpuMemory=900 * 2**20)
    reading("nvmlInit", None)
    reading("nvmlDeviceGetCount", gpus)
    reading("nvmlDeviceGetHandleByIndex", object())
    reading("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=87))
    reading("nvmlDeviceGetMemoryInfo", SimpleNamespace(used=2**30, total=2**33))
    reading("nvmlDeviceGetTemperature", 61)
    reading("nvmlDeviceGetComputeRunningProcesses", [mine, other])
    return module


def test_the_machine_and_this_process() -> None:
    data = Probe().read()
    assert 0 <= data["cpu_util_pct"] <= 100
    assert 0 < data["ram_mb"] <= data["ram_total_mb"]
    assert 0 <= data["disk_free_mb"] <= data["disk_total_mb"]
    assert data["proc_ram_mb"] > 1
    assert "gpu_util_pct" not in data


def test_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(2, set()))
    data = Probe().read()
    assert data["gpu_util_pct"] == 87
    assert (data["gpu_mem_mb"], data["gpu_mem_total_mb"]) == (1024, 8192)
    assert data["gpu_temp_c"] == 61
    assert data["proc_gpu_mem_mb"] == 600
    assert [gpu["index"] for gpu in data["gpus"]] == [0, 1]
    monkeypatch.setitem(sys.modules, "pynvml", driver(1, set()))
    assert "gpus" not in Probe().read()


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        ("nvmlDeviceGetTemperature", {"gpu_temp_c"}),
        ("nvmlDeviceGetUtilizationRates", {"gpu_util_pct"}),
        ("nvmlDeviceGetMemoryInfo", {"gpu_mem_mb", "gpu_mem_total_mb"}),
        ("nvmlDeviceGetComputeRunningProcesses", {"proc_gpu_mem_mb"}),
    ],
)
def test_one_reading_fails_alone(
    monkeypatch: pytest.MonkeyPatch, broken: str, missing: set[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(1, {broken}))
    data = Probe().read()
    names = {"gpu_util_pct", "gpu_mem_mb", "gpu_mem_total_mb", "gpu_temp_c", "proc_gpu_mem_mb"}
    assert names - data.keys() == missing
    assert "cpu_util_pct" in data


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount"])
def test_no_driver_no_gpu(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(1, {broken}))
    data = Probe().read()
    assert "cpu_util_pct" in data
    assert "gpu_util_pct" not in data
