"""CPU, memory, disk and GPU use of the machine and of this process.

A reading that fails is left out; the others are not affected.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

_MB = 1024 * 1024


class Probe:
    """Reads the data of `resource_snapshot`.

    Keep one and read it repeatedly: CPU use is measured since the reading before.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self._nvml: Any = None
        self._handles: list[Any] = []
        self._try(self._open_psutil)
        self._try(self._open_nvml)

    def read(self) -> dict[str, Any]:
        """One reading, with the field names of the server. `gpus` lists the GPUs, if several."""
        data: dict[str, Any] = {}
        for reading in (self._cpu, self._memory, self._disk, self._own, self._gpus):
            data |= self._try(reading) or {}
        return data

    @staticmethod
    def _try(reading: Callable[[], Any]) -> Any:
        try:
            return reading()
        except Exception:  # noqa: BLE001 - drivers and /proc fail in their own ways
            return None

    def _open_psutil(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._process.cpu_percent(None)
        psutil.cpu_percent(None)

    def _open_nvml(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._nvml = pynvml
        count = pynvml.nvmlDeviceGetCount()
        self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]

    def _cpu(self) -> dict[str, Any]:
        import psutil

        return {"cpu_util_pct": psutil.cpu_percent(None)}

    def _memory(self) -> dict[str, Any]:
        import psutil

        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        return {"ram_mb": used // _MB, "ram_total_mb": memory.total // _MB}

    def _disk(self) -> dict[str, Any]:
        usage = shutil.disk_usage(".")
        return {"disk_free_mb": usage.free // _MB, "disk_total_mb": usage.total // _MB}

    def _own(self) -> dict[str, Any]:
        if self._process is None:
            return {}
        return {
            "proc_cpu_pct": self._process.cpu_percent(None),
            "proc_ram_mb": self._process.memory_info().rss // _MB,
        }

    def _gpus(self) -> dict[str, Any]:
        gpus = [self._gpu(index, handle) for index, handle in enumerate(self._handles)]
        if not gpus:
            return {}
        own = [gpu["proc_gpu_mem_mb"] for gpu in gpus if "proc_gpu_mem_mb" in gpu]
        data = {key: value for key, value in gpus[0].items() if key != "index"}
        if own:
            data["proc_gpu_mem_mb"] = sum(own)
        if len(gpus) > 1:
            data["gpus"] = gpus
        return data

    def _gpu(self, index: int, handle: Any) -> dict[str, Any]:
        nvml = self._nvml
        gpu: dict[str, Any] = {"index": index}

        def own_memory() -> dict[str, Any]:
            running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            mine = [one.usedGpuMemory or 0 for one in running if one.pid == os.getpid()]
            return {"proc_gpu_mem_mb": sum(mine) // _MB}

        def memory() -> dict[str, Any]:
            found = nvml.nvmlDeviceGetMemoryInfo(handle)
            return {"gpu_mem_mb": found.used // _MB, "gpu_mem_total_mb": found.total // _MB}

        def share() -> dict[str, Any]:
            return {"gpu_util_pct": nvml.nvmlDeviceGetUtilizationRates(handle).gpu}

        def heat() -> dict[str, Any]:
            kind = nvml.NVML_TEMPERATURE_GPU
            return {"gpu_temp_c": nvml.nvmlDeviceGetTemperature(handle, kind)}

        for reading in (share, memory, heat, own_memory):
            gpu |= self._try(reading) or {}
        return gpu
