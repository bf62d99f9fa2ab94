"""The quota that control groups give a process."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.base.cpus import cpu_quota


def written(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_tightest_quota_of_version_2_counts(tmp_path: Path) -> None:
    written(tmp_path, cpu__max="max 100000\n")
    written(tmp_path / "a", cpu__max="150000 100000\n", cpu__stat="usage_usec 2500000\nuser_usec 1")
    written(tmp_path / "a/b", cpu__max="max 100000\n", cpu__stat="usage_usec 1\n")
    (tmp_path / "proc").write_text("0::/a/b\n")
    quota = cpu_quota(tmp_path / "proc", tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_s()) == (1.5, 2.5)


def test_the_quota_of_version_1(tmp_path: Path) -> None:
    folder = tmp_path / "cpu" / "job"
    written(folder, cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    written(tmp_path / "cpuacct" / "job", cpuacct__usage="3000000000\n")
    (tmp_path / "proc").write_text("5:memory:/x\n1:cpu:/job\n0::/\n")
    quota = cpu_quota(tmp_path / "proc", tmp_path)
    assert quota is not None
    assert (quota.cores, quota.used_s()) == (2.0, 3.0)


def test_no_quota(tmp_path: Path) -> None:
    written(tmp_path, cpu__max="max 100000\n")
    (tmp_path / "proc").write_text("0::/\n")
    assert cpu_quota(tmp_path / "proc", tmp_path) is None
    assert cpu_quota(tmp_path / "none", tmp_path) is None
