"""Which runs count as made by one version of the code."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.provenance.manifest import CodeFile, Manifest
from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.provenance.versions import CodeVersions

TRAIN = CodeFile("train.py", "t")


def numbers(root: Path, *manifests: Manifest) -> list[int | None]:
    store = ObjectStore(root / OBJECTS)
    names = [store.put_manifest(each) for each in manifests]
    versions = CodeVersions([root], names)
    return [versions.number(name) for name in names]


def test_what_an_earlier_run_of_the_worker_loaded_tells_versions_apart(tmp_path: Path) -> None:
    """Only the first run of a warm worker loads a lazy module itself."""
    assert numbers(
        tmp_path,
        Manifest((TRAIN, CodeFile("lazy.py", "one"))),
        Manifest((TRAIN, CodeFile("lazy.py", "one", earlier=True))),
        Manifest((TRAIN, CodeFile("lazy.py", "two"))),
        Manifest((TRAIN, CodeFile("lazy.py", "two", earlier=True))),
        Manifest((TRAIN,)),
    ) == [0, 0, 1, 1, 0]


def test_a_config_file_tells_versions_apart_where_no_run_has_written_it(tmp_path: Path) -> None:
    def reading(content: str, *wrote: str) -> Manifest:
        return Manifest((TRAIN, CodeFile("conf.json", content, "config")), wrote=wrote)

    assert numbers(tmp_path / "a", reading("one"), reading("two")) == [0, 1]
    assert numbers(tmp_path / "b", reading("one"), reading("two", "conf.json")) == [0, 0]
