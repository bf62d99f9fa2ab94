"""Data named as inputs."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.provenance import inputs
from argus_tasks.provenance.inputs import InputHashes, input_files
from argus_tasks.provenance.naming import FileNames


def test_paths_globs_and_folders_are_hashed_and_named(tmp_path: Path) -> None:
    for name in ("data/a.csv", "data/deep/b.csv", "other.csv", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    names, hashes = FileNames(str(tmp_path)), InputHashes(str(tmp_path / ".sweep" / "inputs"))
    found = input_files(["data", "*.csv"], str(tmp_path), names, hashes)
    assert [(file.name, file.digest) for file in found.values()] == [
        (name, sha256(name.encode()).hexdigest())
        for name in ("data/a.csv", "data/deep/b.csv", "other.csv")
    ]
    assert not (tmp_path / ".sweep").exists()
    for wrong in ("missing.csv", "*.missing"):
        with pytest.raises(BadInput, match="missing"):
            input_files([wrong], str(tmp_path), names, hashes)


def test_a_large_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LARGE", 4)
    path, memory = tmp_path / "a.bin", tmp_path / "memory"
    path.write_bytes(b"large")
    first = InputHashes(str(memory)).digest(str(path))
    lines = memory.read_text()
    assert InputHashes(str(memory)).digest(str(path)) == first
    assert memory.read_text() == lines
    times = path.stat()
    path.write_bytes(b"LARGE")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert InputHashes(str(memory)).digest(str(path)) == sha256(b"LARGE").hexdigest()
