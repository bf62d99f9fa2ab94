from __future__ import annotations

import os
from pathlib import Path

import pytest

from argus_tasks.base.errors import ArgusTasksError
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
    folder.make_login()
    folder.withdraw("old", unused=True)
    assert folder.read() == Record("new", 1, "3.8.8")
    assert folder.login()


def test_a_login_is_that_of_one_server_and_of_who_still_uses_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for unused in (False, True):
        folder.write(Record("one", 1, "3.8.8", has_login=True))
        folder.make_login()
        login = folder.login()
        assert login.startswith("argus-tasks:")
        assert len(login) > 40
        folder.withdraw("one", unused=unused)
        assert folder.login() == ("" if unused else login)
        folder.make_login()
        assert folder.login() != login


def test_others_cannot_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = Folder.of_this_host()
    before.root.chmod(0o755)  # as earlier versions made it
    folder = Folder.of_this_host()
    folder.make_login()
    assert folder.root.stat().st_mode & 0o077 == 0
    assert folder.login_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    os.chown(Folder.of_this_host().root, 65534, 65534)
    with pytest.raises(ArgusTasksError, match="belongs to another user"):
        Folder.of_this_host()


def test_log_tail(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert "cannot be read" in folder.log_tail()
    folder.log.write_text("\n".join(f"line {n}" for n in range(100)))
    assert folder.log_tail().splitlines()[-1] == "  line 99"
    assert len(folder.log_tail().splitlines()) == 15
