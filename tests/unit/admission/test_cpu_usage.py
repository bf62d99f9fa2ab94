"""What is read of the machine: its load, and ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from argus_tasks.admission.cpu_usage import CpuMeter, tree_cpu_s

BURN = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass"


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells of the dead")
def test_a_trees_time_has_its_grandchildren_and_its_dead() -> None:
    grandchild = [sys.executable, "-c", BURN.format(0.3)]
    code = f"import subprocess, time; subprocess.run({grandchild!r}); print(1, flush=True)"
    code += "; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        spent = tree_cpu_s(child.pid)
        child.kill()
    assert spent is not None
    assert spent >= 0.29
    assert tree_cpu_s(child.pid) is None


def test_a_burning_tree_is_seen_as_ours() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN.format(60)]) as child:
        meter = CpuMeter(lambda: child.pid)
        assert meter.read() is None
        before = time.monotonic()
        time.sleep(0.6)
        usage = meter.read()
        child.kill()
    assert usage is not None
    assert usage.span_s == pytest.approx(time.monotonic() - before, abs=0.5)
    assert usage.own_pct is not None
    assert 1 < usage.own_pct <= usage.busy_pct <= 100
    assert meter.cores <= len(os.sched_getaffinity(0))
