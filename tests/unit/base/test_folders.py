"""Folders of the user's own: made for nobody else, and refused where they are somebody else's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from argus_tasks.admission.gpu_slots import GpuSlots
from argus_tasks.base.errors import BadInput
from argus_tasks.base.folders import file_errors_explained, make_private
from argus_tasks.base.settings import state_home, user_home
from argus_tasks.delivery.link import open_link
from argus_tasks.delivery.outbox_folder import Outbox


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_it_and_what_is_made_above_it_are_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        make_private(tmp_path / "a" / "b")
        make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)


def test_one_that_others_can_read_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o1777])
def test_one_that_others_can_write_is_refused(tmp_path: Path, bits: int) -> None:
    tmp_path.chmod(bits)
    for use in (make_private, lambda folder: Outbox(folder).create()):
        with pytest.raises(PermissionError, match=r"other users can write there \(chmod go-w"):
            use(tmp_path)
    with pytest.raises(BaseException, match="other users can write there"):
        GpuSlots([], 1, tmp_path)


def test_another_user_s_is_refused(tmp_path: Path) -> None:
    folder = Path("/usr")
    if os.geteuid() == 0:
        folder = tmp_path
        os.chown(folder, 54321, -1)
    with pytest.raises(PermissionError, match="another user owns it"):
        make_private(folder)


def test_an_outbox_that_is_refused_is_not_used(tmp_path: Path) -> None:
    link = open_link("http://127.0.0.1:9", lambda: None, root=tmp_path)
    link.close(0.0)
    link.outbox.folder.chmod(0o777)
    with pytest.raises(PermissionError, match="other users can write"):
        open_link("http://127.0.0.1:9", lambda: None, root=tmp_path)


@pytest.mark.parametrize(
    ("path", "helps"),
    [
        ("/s/argus-tasks/prefect-server/vm", "set XDG_STATE_HOME to a folder of yours"),
        ("/s", "set XDG_STATE_HOME to a folder of yours"),
        ("/o/server/batches", "set ARGUS_OUTBOX_DIR to a folder of yours"),
        ("/c/argus-tasks", "set XDG_CACHE_HOME to a folder of yours"),
        ("/somewhere", "cannot be used: No space left on device."),
    ],
)
def test_what_helps(path: str, helps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, home in (("XDG_STATE_HOME", "/s"), ("XDG_CACHE_HOME", "/c")):
        monkeypatch.setenv(name, home)
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", "/o")
    with pytest.raises(BadInput) as caught, file_errors_explained():
        raise OSError(errno.ENOSPC, "No space left on device", path)
    assert str(caught.value).startswith(f"{path} cannot be used: No space left on device")
    assert helps in str(caught.value)


def test_what_is_about_no_file_is_left_alone() -> None:
    with pytest.raises(ConnectionRefusedError), file_errors_explained():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


def test_no_home_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for ask in (user_home, state_home):
        with pytest.raises(BadInput, match="has no home folder; set HOME to a folder"):
            ask()
