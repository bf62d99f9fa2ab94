"""Distributions: whose a module is, which are editable, which are copies."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_tasks.provenance import distributions
from argus_tasks.provenance.comparison import CodeState, Comparer, Present
from argus_tasks.provenance.distributions import (
    copied_projects,
    copies_in_use,
    editable_folders,
    versions_now,
    versions_of,
)
from argus_tasks.provenance.manifest import Manifest
from argus_tasks.provenance.objects import ObjectStore


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site-packages"
    for name, version, files in (
        ("numbers_lib", "1.0", {"RECORD": "numbers_lib/__init__.py,,\n"}),
        ("scikit_shapes", "2.1", {"top_level.txt": "shapes\n"}),
        ("PyColors", "3", {"RECORD": "colors.py,,\nPyColors-3.dist-info/RECORD,,\n"}),
        ("mine", "0.1", {"direct_url.json": direct(tmp_path / "mine dir", editable=True)}),
        ("copied", "0.2", {"direct_url.json": direct(tmp_path / "project", editable=False)}),
    ):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        for file, text in files.items():
            (info / file).write_text(text)
    monkeypatch.setattr(sys, "path", [str(folder)])
    cached = (
        editable_folders,
        copied_projects,
        distributions._listed,
        distributions._owners,
        distributions._content,
    )
    for each in cached:
        each.cache_clear()
    yield folder
    for each in cached:
        each.cache_clear()


def direct(folder: Path, *, editable: bool) -> str:
    return json.dumps({"url": folder.as_uri(), "dir_info": {"editable": editable}})


def test_a_module_belongs_to_the_distribution_that_installed_it(site: Path) -> None:
    names = ["numbers_lib", "shapes", "colors", "nobodys"]
    assert versions_of(dict.fromkeys(names, str(site))) == {
        "numbers-lib": "1.0",
        "scikit-shapes": "2.1",
        "pycolors": "3",
    }
    assert versions_now(["pycolors", "gone"]) == {"pycolors": "3"}


def test_a_copy_that_is_installed_again_is_another_version(site: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    record = site / "copied-0.2.dist-info" / "RECORD"
    seen = []
    for line in ("sha256=a,1", "sha256=a,1", "sha256=b,1"):
        record.write_text(f"copied/core.py,{line}\ncopied-0.2.dist-info/direct_url.json,{line}\n")
        distributions._content.cache_clear()
        seen.append(versions_now(["copied"])["copied"])
    assert seen[0] == seen[1] != seen[2]
    assert versions_of({"copied": str(site)}) == {"copied": seen[2]}

    store = ObjectStore(tmp_path / "objects")
    name = store.put_manifest(Manifest(packages={"copied": seen[0]}))
    found = Comparer(store, str(tmp_path), Present()).compare(name)
    assert found.state is CodeState.CHANGED
    assert "copied was installed again" in str(found.differences[0])


def test_editable_and_copied_projects_are_told_apart(site: Path, tmp_path: Path) -> None:
    assert editable_folders() == {"mine": str(tmp_path / "mine dir")}
    assert copied_projects() == {"copied": str(tmp_path / "project")}
    assert copies_in_use(["copied", "pycolors"], str(tmp_path / "project")) == ["copied"]
    assert copies_in_use(["copied"], str(tmp_path / "elsewhere")) == []
