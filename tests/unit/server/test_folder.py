from __future__ import annotations

from pathlib import Path

import pytest

from argus_tasks.server.folder import Folder, Record


def test_one_folder_for_each_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("platform.node", lambda: "gpu/01")
    folder = Folder.of_this_host()
    assert folder.root == tmp_path / "argus-tasks" / "prefect-server" / "gpu_01"
    assert folder.home.is_dir()
    assert folder.home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"instance": "a"}', '{"port": "x"}'])
def test_a_record_that_cannot_be_read_is_no_record(tmp_path: Path, text: str) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "server.json").write_text(text)
    assert folder.read() is None
    assert folder.last_port() == 0


def test_only_the_server_itself_is_withdrawn(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(Record("new", 1, "3.8.8"))
    folder.withdraw("old")
    assert folder.read() == Record("new", 1, "3.8.8")


def test_log_tail(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert "cannot be read" in folder.log_tail()
    folder.log.write_text("\n".join(f"line {n}" for n in range(100)))
    assert folder.log_tail().splitlines()[-1] == "  line 99"
    assert len(folder.log_tail().splitlines()) == 15
