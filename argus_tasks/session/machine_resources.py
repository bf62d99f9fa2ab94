"""What a sweep asks of its machine besides workers: memory that stays free, slots of GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from argus_tasks.admission.resource import Resource
from argus_tasks.planning.request import SweepRequest
from argus_tasks.spec.gpus import usable_gpus
from argus_tasks.workers.executor import Executor, WorkerExecutor


def drop_workers_with(resources: Sequence[Resource], executor: Executor) -> None:
    """Have the idle worker of a GPU slot ended when the sweep gives the slot back."""
    from argus_tasks.admission.gpu_slots import GpuSlots

    for resource in resources:
        if isinstance(resource, GpuSlots) and isinstance(executor, WorkerExecutor):
            resource.drop_worker = executor.drop_idle


def machine_resources(request: SweepRequest) -> list[Resource]:
    """The resources that the request asks for. Errors: BadInput for GPUs that are not there."""
    resources: list[Resource] = []
    if request.execution.min_free_memory is not None:
        from argus_tasks.admission.memory import MemoryFloor

        resources.append(MemoryFloor(request.execution.min_free_memory))
    gpus = usable_gpus(request.execution.gpus, os.environ)
    if gpus:
        from argus_tasks.admission.gpu_slots import GpuSlots

        resources.append(GpuSlots(gpus, request.execution.slots_per_gpu))
    return resources
