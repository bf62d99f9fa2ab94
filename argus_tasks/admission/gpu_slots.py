"""Slots of GPUs: one for each attempt, and no two attempts of this host in the same."""

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
# How often a refused start looks whether another sweep has let go of a slot.
_RETRY_S = 0.5
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

    A slot that is given back stays this sweep's for a moment, for its next attempt. Then the worker
    that idles in it, and may hold memory of the GPU, is let go, and after it the slot.

    Args:
        gpus: the GPUs.
        slots_per_gpu: how many slots each has.
        folder: where the files are; by default in the state folder.
        linger_s: how long a slot stays this sweep's.

    Attributes:
        slots: all of them.
        drop_worker: ends the idle worker that has this environment, if there is one.

    Errors: ArgusTasksError where the folder cannot be made.
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
        """A Slot, on the GPU where this sweep has fewest; refused while none is free."""
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
        """The slot is free for this sweep, and soon for others."""
        if isinstance(grant, Slot):
            with self._lock:
                self._lingering[grant] = (self._taken.pop(grant), time.monotonic())
            self._linger.schedule()

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

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `tell` when a refused start may look again."""
        self._retry_later.callback = callback

    def close(self) -> None:
        """No attempt will follow, and no worker is left: let go of all that is not in use."""
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
    """Where the slots' files of this user and host are."""
    host = _NO_FILE_NAME.sub("_", platform.node()) or "localhost"
    return state_home() / "gpu-slots" / host
