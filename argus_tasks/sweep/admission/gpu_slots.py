"""Slots of GPUs: one for each attempt, and no two attempts of this host in the same."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.locks import ProcessLock
from argus_tasks.base.settings import state_home
from argus_tasks.sweep.admission.again import Again
from argus_tasks.sweep.admission.resource import Demand, Held, Resource
from argus_tasks.sweep.gpus import Gpu

SLOT = "ARGUS_GPU_SLOT"
# How often a refused start looks whether another sweep has let go of a slot.
_AGAIN_S = 0.5
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the places on a GPU, counted from 0."""

    gpu: Gpu
    number: int

    def environment(self) -> dict[str, str]:
        """What the environment of whoever has it must say."""
        return {**self.gpu.environment(), SLOT: str(self.number)}


class GpuSlots(Resource):
    """Slots as locked files of this user and host: freed by the kernel with their process.

    Args:
        gpus: the GPUs.
        slots_per_gpu: how many slots each has.
        folder: where the files are; by default in the state folder.

    Errors: ArgusTasksError where the folder cannot be made.
    """

    def __init__(self, gpus: Sequence[Gpu], slots_per_gpu: int, folder: Path | None = None) -> None:
        folder = folder or slot_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ArgusTasksError(f"{folder}, for GPU slots, cannot be made: {error}") from error
        self._folder = folder
        # The first slot of every GPU comes before the second of any.
        self.slots = [Slot(gpu, number) for number in range(slots_per_gpu) for gpu in gpus]
        self._taken: dict[Slot, ProcessLock] = {}
        self._again = Again(_AGAIN_S)

    def try_take(self, demand: Demand, running: int) -> object | Held:  # noqa: ARG002
        """A Slot, on the GPU where this sweep has fewest; refused while none is free."""
        used = [slot.gpu for slot in self._taken]
        free = [slot for slot in self.slots if slot not in self._taken]
        for slot in sorted(free, key=lambda slot: used.count(slot.gpu)):
            lock = ProcessLock(str(self._file_of(slot)))
            if lock.take():
                self._taken[slot] = lock
                return slot
        if free:
            self._again.ask()
            return Held(f"waiting for a GPU: other sweeps have {len(free)} of {len(self.slots)}")
        return Held("waiting for a GPU")

    def give_back(self, grant: object) -> None:
        """The slot is free."""
        if isinstance(grant, Slot):
            self._taken.pop(grant).give_back()

    def environment(self, grant: object) -> Mapping[str, str]:
        """The GPU alone, and the slot's number on it."""
        return grant.environment() if isinstance(grant, Slot) else {}

    @property
    def likely(self) -> Sequence[Mapping[str, str]]:
        """One for each slot."""
        return [slot.environment() for slot in self.slots]

    def facts(self, grant: object) -> Mapping[str, Any]:
        """Which GPU it was."""
        if not isinstance(grant, Slot):
            return {}
        return {"gpu": {"id": grant.gpu.token, "uuid": grant.gpu.uuid, "slot": grant.number}}

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` when a refused start may look again."""
        self._again.tell = tell

    def _file_of(self, slot: Slot) -> Path:
        return self._folder / f"{_NO_FILE_NAME.sub('_', slot.gpu.uuid)}.{slot.number}.lock"


def slot_folder() -> Path:
    """Where the slots' files of this user and host are."""
    host = _NO_FILE_NAME.sub("_", platform.node()) or "localhost"
    return state_home() / "gpu-slots" / host
