"""GPU slots as a resource: each attempt gets one, and no two attempts on this host share one."""

from __future__ import annotations

import platform
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.admission.delayed_call import DelayedCall
from argus_tasks.admission.resource import Demand, Refusal, Resource
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.base.folders import make_private
from argus_tasks.base.locks import ProcessLock
from argus_tasks.base.settings import state_home
from argus_tasks.spec.gpus import Gpu

SLOT = "ARGUS_GPU_SLOT"
# The time after which a refused start checks again whether another sweep has freed a slot.
_RETRY_S = 0.5
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the slots of a GPU, numbered from 0."""

    gpu: Gpu
    number: int

    def environment(self) -> dict[str, str]:
        """The environment variables of an attempt that has the slot."""
        return {**self.gpu.environment(), SLOT: str(self.number)}


class GpuSlots(Resource):
    """GPU slots, each a locked file of this user and host, so that the kernel frees them with the
    process.

    A slot that is given back stays with this sweep for a moment, for its next attempt. Then the
    idle worker of the slot, which may hold GPU memory, is ended, and after it the slot is freed.

    Args:
        gpus: the GPUs.
        slots_per_gpu: the number of slots of each.
        folder: the folder of the files; by default, in the state folder.
        linger_s: the time in seconds that a slot stays with this sweep.

    Attributes:
        slots: all slots.
        drop_worker: ends the idle worker that has this environment, if there is one.

    Raises:
        ArgusTasksError: if the folder cannot be created.
    """

    def __init__(
        self,
        gpus: Sequence[Gpu],
        slots_per_gpu: int,
        folder: Path | None = None,
        linger_s: float = 1.0,
    ) -> None:
        folder = folder or slot_folder()
        try:
            make_private(folder)
        except OSError as error:
            raise ArgusTasksError(f"{folder}, for GPU slots, cannot be made: {error}") from error
        self._folder = folder
        # The first slot of every GPU comes before the second of any.
        self.slots = [Slot(gpu, number) for number in range(slots_per_gpu) for gpu in gpus]
        self.drop_worker: Callable[[Mapping[str, str]], None] = lambda _: None
        self._lock = threading.Lock()
        self._taken: dict[Slot, ProcessLock] = {}
        self._lingering: dict[Slot, tuple[ProcessLock, float]] = {}
        self._linger_s = linger_s
        self._retry_later = DelayedCall(_RETRY_S)
        self._linger = DelayedCall(linger_s)
        self._linger.callback = self._let_go

    def try_take(self, demand: Demand, running: int) -> object | Refusal:  # noqa: ARG002
        """Take a slot on the GPU where this sweep has the fewest; refused while none is free."""
        with self._lock:
            used = [slot.gpu for slot in self._taken]
            free = [slot for slot in self.slots if slot not in self._taken]
            for slot in sorted(free, key=lambda slot: used.count(slot.gpu)):
                lock, _ = self._lingering.pop(slot, (ProcessLock(str(self._file_of(slot))), 0.0))
                if lock.take():
                    self._taken[slot] = lock
                    return slot
        if free:
            self._retry_later.schedule()
            return Refusal(f"waiting for a GPU: other sweeps have {len(free)} of {len(self.slots)}")
        return Refusal("waiting for a GPU")

    def give_back(self, grant: object) -> None:
        """Free the slot for this sweep, and soon for others."""
        if isinstance(grant, Slot):
            with self._lock:
                self._lingering[grant] = (self._taken.pop(grant), time.monotonic())
            self._linger.schedule()

    def environment(self, grant: object) -> Mapping[str, str]:
        """The variables that show this GPU alone, and the number of the slot."""
        return grant.environment() if isinstance(grant, Slot) else {}

    @property
    def likely(self) -> Sequence[Mapping[str, str]]:
        """The environment of each slot."""
        return [slot.environment() for slot in self.slots]

    def facts(self, grant: object) -> Mapping[str, Any]:
        """The GPU and the slot."""
        if not isinstance(grant, Slot):
            return {}
        return {"gpu": {"id": grant.gpu.token, "uuid": grant.gpu.uuid, "slot": grant.number}}

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when a refused start may try again."""
        self._retry_later.callback = callback

    def close(self) -> None:
        """Free all slots that are not in use: no attempt will follow, and no worker is left."""
        with self._lock:
            for lock, _ in self._lingering.values():
                lock.give_back()
            self._lingering.clear()

    def _let_go(self) -> None:
        with self._lock:
            over = time.monotonic() - self._linger_s
            old = [slot for slot, (_, since) in self._lingering.items() if since <= over]
            locks = {slot: self._lingering.pop(slot)[0] for slot in old}
            left = bool(self._lingering)
        for slot, lock in locks.items():
            self.drop_worker(slot.environment())
            lock.give_back()
        if left:
            self._linger.schedule()
        if locks:
            self._retry_later.callback()

    def _file_of(self, slot: Slot) -> Path:
        return self._folder / f"{_NO_FILE_NAME.sub('_', slot.gpu.uuid)}.{slot.number}.lock"


def slot_folder() -> Path:
    """The folder of the slots' files of this user and host."""
    host = _NO_FILE_NAME.sub("_", platform.node()) or "localhost"
    return state_home() / "gpu-slots" / host
