"""Private folders of the user, and the message for a folder that cannot be used."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argus_tasks.base import settings
from argus_tasks.base.errors import BadInput
from argus_tasks.base.locks import NO_LOCKS


def make_private(folder: Path) -> None:
    """Make a folder, and its missing parents, that only this user may read and write.

    Raises:
        PermissionError: another user owns the folder or may write to it.
        OSError: the folder cannot be made.
    """
    if not folder.is_dir():
        if not folder.parent.is_dir():
            make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "another user owns it", os.fspath(folder))
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        said = f"other users can write there (chmod go-w {folder})"
        raise PermissionError(errno.EPERM, said, os.fspath(folder))


@contextmanager
def file_errors_explained() -> Iterator[None]:
    """Within this block, turn an OSError about a file into BadInput, with one clear sentence."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise BadInput(_sentence(error)) from error


def _sentence(error: OSError) -> str:
    path = os.fsdecode(error.filename)
    why = "its file system has no locks" if error.errno in NO_LOCKS else error.strerror
    for variable, home in (
        ("ARGUS_OUTBOX_DIR", os.environ.get("ARGUS_OUTBOX_DIR")),
        ("XDG_STATE_HOME", os.fspath(settings.state_home())),
        ("XDG_CACHE_HOME", os.fspath(settings.cache_home())),
    ):
        if home and (_within(path, home) or _within(home, path)):
            return (
                f"{path} cannot be used: {why}; set {variable} to a folder of yours with room and"
                " file locks."
            )
    return f"{path} cannot be used: {why}."


def _within(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")
