"""What is read of the machine: its load, ours, and a cgroup's quota."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from argus_tasks.sweep.admission.machine import CpuMeter, cgroup_quota, tree_cpu_s


def written(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_tightest_quota_of_version_2_counts(tmp_path: Path) -> None:
    written(tmp_path, cpu__max="max 100000\n")
    written(tmp_path / "a", cpu__max="150000 100000\n", cpu__stat="usage_usec 2500000\nuser_usec 1")
    written(tmp_path / "a/b", cpu__max="max 100000\n", cpu__stat="usage_usec 1\n")
    (tmp_path / "proc").write_text("0::/a/b\n")
    quota = cgroup_quota(tmp_path / "proc", tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_s()) == (1.5, 2.5)


def test_the_quota_of_version_1(tmp_path: Path) -> None:
    folder = tmp_path / "cpu" / "job"
    written(folder, cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    written(tmp_path / "cpuacct" / "job", cpuacct__usage="3000000000\n")
    (tmp_path / "proc").write_text("5:memory:/x\n1:cpu:/job\n0::/\n")
    quota = cgroup_quota(tmp_path / "proc", tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_s()) == (2.0, 3.0)


def test_no_quota(tmp_path: Path) -> None:
    written(tmp_path, cpu__max="max 100000\n")
    (tmp_path / "proc").write_text("0::/\n")
    assert cgroup_quota(tmp_path / "proc", tmp_path) is None
    assert cgroup_quota(tmp_path / "none", tmp_path) is None


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
