"""What a sweep asks of its machine besides workers: memory that stays free, slots of GPUs."""

from __future__ import annotations

import os

from argus_tasks.sweep.admission.resource import Resource
from argus_tasks.sweep.gpus import usable_gpus
from argus_tasks.sweep.request import SweepRequest


def machine_resources(request: SweepRequest) -> list[Resource]:
    """The resources that the request asks for. Errors: BadInput for GPUs that are not there."""
    resources: list[Resource] = []
    if request.min_free_memory is not None:
        from argus_tasks.sweep.admission.memory import MemoryFloor

        resources.append(MemoryFloor(request.min_free_memory))
    gpus = usable_gpus(request.gpus, os.environ)
    if gpus:
        from argus_tasks.sweep.admission.gpu_slots import GpuSlots

        resources.append(GpuSlots(gpus, request.slots_per_gpu))
    return resources
