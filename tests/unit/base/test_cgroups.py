"""Control groups as files: both versions, whole and as containers see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from argus_tasks.base import cgroups, cpus


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def test_version_two_from_the_inside_out(own: Path, root: Path) -> None:
    own.write_text("0::/a/b\n")
    (root / "a" / "b").mkdir(parents=True)
    assert list(cgroups.folders("memory", own=own, root=root)) == [
        root / "a" / "b",
        root / "a",
        root,
    ]


def test_version_one_has_a_tree_for_each_controller(own: Path, root: Path) -> None:
    own.write_text("4:memory:/x\n3:cpu,cpuacct:/\n1:name=systemd:/y\n")
    (root / "memory" / "x").mkdir(parents=True)
    (root / "cpu").mkdir()
    assert list(cgroups.folders("memory", own=own, root=root)) == [
        root / "memory" / "x",
        root / "memory",
    ]
    assert list(cgroups.folders("cpu", own=own, root=root)) == [root / "cpu"]


def test_in_a_container_the_outer_names_lead_nowhere(own: Path, root: Path) -> None:
    own.write_text("0::/docker/1234\n")
    assert list(cgroups.folders("memory", own=own, root=root)) == [root]


def test_no_groups_at_all(tmp_path: Path) -> None:
    assert list(cgroups.folders("memory", own=tmp_path / "none", root=tmp_path)) == []


def test_numbers_and_facts(root: Path) -> None:
    (root / "memory.max").write_text("max\n")
    (root / "memory.current").write_text("4096\n")
    (root / "memory.stat").write_text("anon 10\ninactive_file 20\nodd\n")
    assert cgroups.number(root, "memory.max") is None
    assert cgroups.number(root, "memory.current") == 4096
    assert cgroups.number(root, "none") is None
    assert cgroups.facts(root, "memory.stat") == {"anon": 10, "inactive_file": 20}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_the_cpu_quota(
    files: dict[str, str], quota: float | None, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (root / name).write_text(text + "\n")
    monkeypatch.setattr(cgroups, "folders", lambda *_, **__: [root])
    found = cpus.cpu_quota()
    assert (found and found.cores) == quota
    cores = cpus.usable_cpus()
    assert cores >= 1
    if quota == 0.5:
        assert cores == 1
