"""Slots of GPUs: spread, exclusive over processes, free when their holder is dead."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from argus_tasks.admission.gate import Gate, Ticket
from argus_tasks.admission.gpu_slots import GpuSlots
from argus_tasks.admission.resource import Demand, Refusal
from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.spec.gpus import Gpu

GPUS = (Gpu("0", "GPU-a/0"), Gpu("1", "GPU-b"))

HOLDER = """
import sys
from pathlib import Path
from argus_tasks.admission.gpu_slots import GpuSlots
from argus_tasks.admission.resource import Demand
from argus_tasks.spec.gpus import Gpu
slots = GpuSlots([Gpu("1", "GPU-b")], 1, Path(sys.argv[1]))
print(slots.try_take(Demand(0), 0).gpu.token, flush=True)
sys.stdin.read()
"""


def entered(gate: Gate, index: int) -> Ticket:
    ticket = gate.try_enter(Demand(index))
    assert isinstance(ticket, Ticket)
    return ticket


def test_every_gpu_has_one_before_any_has_two(tmp_path: Path) -> None:
    gate = Gate([GpuSlots(GPUS, 2, tmp_path)])
    tickets = [entered(gate, index) for index in range(4)]
    found = [
        (t.environment["CUDA_VISIBLE_DEVICES"], t.environment["ARGUS_GPU_SLOT"]) for t in tickets
    ]
    assert found == [("0", "0"), ("1", "0"), ("0", "1"), ("1", "1")]
    held = gate.try_enter(Demand(4))
    assert isinstance(held, Refusal)
    assert held.reason == "waiting for a GPU"
    for ticket in (tickets[0], tickets[1], tickets[3]):
        ticket.leave()
    again = [entered(gate, index).environment["CUDA_VISIBLE_DEVICES"] for index in range(5, 7)]
    assert again == ["1", "0"], "GPU 0 has one already"
    assert tickets[2].facts == {"gpu": {"id": "0", "uuid": "GPU-a/0", "slot": 1}}


def test_another_processes_slot_is_taken_and_comes_back_with_its_death(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "1\n"
    changed = threading.Event()
    gate = Gate([GpuSlots(GPUS, 1, tmp_path)], changed.set)
    assert entered(gate, 0).environment["CUDA_VISIBLE_DEVICES"] == "0"
    held = gate.try_enter(Demand(1))
    assert isinstance(held, Refusal)
    assert held.reason == "waiting for a GPU: other sweeps have 1 of 2"
    holder.kill()
    holder.communicate(timeout=90)
    assert changed.wait(20)
    assert entered(gate, 1).environment["CUDA_VISIBLE_DEVICES"] == "1"


def test_two_sweeps_of_one_process_do_not_share_either(tmp_path: Path) -> None:
    one, other = (Gate([GpuSlots(GPUS[:1], 1, tmp_path)]) for _ in range(2))
    ticket = entered(one, 0)
    assert isinstance(other.try_enter(Demand(0)), Refusal)
    ticket.leave()
    one.close()
    entered(other, 0)


def test_a_slot_goes_with_the_worker_that_idles_in_it(tmp_path: Path) -> None:
    slots = GpuSlots(GPUS[:1], 1, tmp_path, linger_s=0.2)
    dropped: list[Mapping[str, str]] = []
    slots.drop_worker = lambda environment: dropped.append(environment)
    mine = Gate([slots])
    changed = threading.Event()
    other = Gate([GpuSlots(GPUS[:1], 1, tmp_path)], changed.set)
    entered(mine, 0).leave()
    assert isinstance(other.try_enter(Demand(0)), Refusal), "it may be wanted again at once"
    again = entered(mine, 1)
    time.sleep(0.5)
    assert dropped == [], "it is in use"
    again.leave()
    assert changed.wait(20)
    while isinstance(other.try_enter(Demand(0)), Refusal):
        changed.clear()
        assert changed.wait(20)
    assert dropped == [slots.likely[0]], "the worker first, then the slot"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArgusTasksError, match="for GPU slots, cannot be made"):
        GpuSlots(GPUS, 1, tmp_path / "file" / "folder")
