"""A copy of a project's code, for a sweep that is to be unmoved by later edits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.provenance.objects import LARGEST_FILE, MOST_OF_A_BATCH
from argus_tasks.provenance.recording.scope import (
    CONFIG_SUFFIXES,
    INSTALLED_FOLDERS,
    SOURCE_SUFFIXES,
    is_kept,
)
from argus_tasks.provenance.secret_files import looks_secret

FROZEN = ".sweep/frozen"
"""Where a results root keeps the copies."""

_OTHER_SOURCES = (
    *(".pyi", ".sh", ".bash", ".r", ".R", ".jl", ".m", ".lua", ".pl", ".rb", ".js", ".ts"),
    *(".c", ".cc", ".cpp", ".h", ".hpp", ".cu", ".cuh", ".rs", ".go", ".java"),
)
_MOST_FOLDERS = 10_000
_PASSED_BY = frozenset({"__pycache__", "node_modules", ".git", ".venv", "venv"})


@dataclass(frozen=True, slots=True)
class FrozenCode:
    """A copy of a project.

    Attributes:
        top: the project's top folder.
        copy: the folder of the copy, in the place of the top.
        left_out: files that are not in it, by their paths below the top: large ones, and those that
            look as if they held a secret.
    """

    top: Path
    copy: Path
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, top: Path, copy: Path) -> FrozenCode:
        """Copy a project: what git tracks and does not ignore; without git, sources and config
        files. What runs and sweeps keep is left out.

        Raises:
            BadInput: if the copy would be larger than 50 MB.
            OSError: if it cannot be written.
        """
        left_out = []
        total = 0
        for name in _names(top):
            path = top / name
            try:
                status = path.stat()
                if not path.is_file():
                    continue
                if status.st_size > LARGEST_FILE:
                    left_out.append(name)
                    continue
                content = path.read_bytes()
            except OSError:
                continue  # it vanished, or leads nowhere
            if looks_secret(name, content):
                left_out.append(name)
                continue
            total += len(content)
            if total > MOST_OF_A_BATCH:
                raise BadInput(
                    f"freeze is true, but the code of {top} is more than"
                    f" {MOST_OF_A_BATCH // 1_000_000} MB; expected less: let git ignore data, or"
                    " freeze nothing."
                )
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            mode = 0o700 if status.st_mode & 0o100 else 0o600
            with open(os.open(target, flags, mode), "wb") as handle:
                handle.write(content)
        return cls(top, copy, tuple(left_out))

    def moved(self, path: str) -> str:
        """Where a path below the top is in the copy; the path itself where it is not there."""
        place = Path(path)
        if not place.is_relative_to(self.top):
            return path
        inside = self.copy / place.relative_to(self.top)
        return str(inside) if inside.exists() else path

    def remove(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self.copy, ignore_errors=True)


def _names(top: Path) -> Iterator[str]:
    """The files to copy, by their paths below the top."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(
            words, cwd=top, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        yield from _source_names(top)
        return
    for name in dict.fromkeys(os.fsdecode(done.stdout).split("\0")):
        if name and not any(map(is_kept, name.split("/")[:-1])):
            yield name


def _source_names(top: Path) -> Iterator[str]:
    suffixes = (*SOURCE_SUFFIXES, *CONFIG_SUFFIXES, *_OTHER_SOURCES)
    for count, (folder, below, files) in enumerate(os.walk(top)):
        if count == _MOST_FOLDERS:
            raise BadInput(
                f"freeze is true, but {top} has more than {_MOST_FOLDERS} folders; expected the"
                " folder of a project, or one that Git knows."
            )
        below[:] = [
            name
            for name in below
            if name not in _PASSED_BY
            and name not in INSTALLED_FOLDERS
            and not is_kept(name)
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        ]
        for name in files:
            if name.endswith(suffixes):
                yield os.path.relpath(os.path.join(folder, name), top)
