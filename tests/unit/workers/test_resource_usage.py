"""What an attempt uses is its own, and not the largest of the worker's life."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from argus_tasks.workers.attempts.resource_usage import ResourceUsage

CODE = """
import time
from argus_tasks.workers.attempts.resource_usage import ResourceUsage

first = ResourceUsage({"pid": 1})
block = bytearray(b"x" * 200_000_000)
end = time.process_time() + 0.2
while time.process_time() < end:
    pass
print(first.taken())
del block
print(ResourceUsage({"pid": 1}).taken())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux begins a peak anew")
def test_a_worker_s_next_run_begins_anew() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    large, small = (eval(line) for line in done.stdout.splitlines())
    assert large["peak_ram_mb"] >= 190
    assert large["cpu_s"] >= 0.2
    assert small["peak_ram_mb"] < 120
    assert small["cpu_s"] < 0.2


def test_in_the_caller_s_process_memory_is_not_the_run_s() -> None:
    assert set(ResourceUsage({"pid": os.getpid()}).taken()) == {"cpu_s"}
