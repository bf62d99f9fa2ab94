"""A project's top folder, and which experiment a function of it is."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from argus_tasks.provenance.recording.content import sha256_hex

Match = Literal["same", "renamed", "other"]


@dataclass(frozen=True, slots=True)
class Project:
    """A project.

    Attributes:
        top: its top folder, as given, links not followed.
        repository: what its clones and work trees have in common: the address that it was cloned
            from, or the folder of the repository; empty without git.
    """

    top: Path
    repository: str = ""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The project that a folder belongs to: the nearest one above it with a `.git` in it, else
        the folder itself. Git is not asked, so one that refuses changes nothing."""
        folder = folder.absolute()
        for above in (folder, *folder.parents):
            git = above / ".git"
            if git.exists():
                return cls(above, _repository(git))
        return cls(folder)

    def name_of(self, file: Path) -> str:
        """A file's path below the top, in POSIX form; its whole path where it lies elsewhere."""
        file = file.absolute()
        return (file.relative_to(self.top) if file.is_relative_to(self.top) else file).as_posix()


@dataclass(frozen=True, slots=True)
class ExperimentMark:
    """Which experiment made a run, as its record keeps it.

    Attributes:
        entry: the entry file's path below the project's top.
        qualname: the qualified name of the function in it; empty for a script.
        digest: SHA-256 of the entry file.
        top: the project's top folder.
        repository: as of `Project`.
    """

    entry: str
    qualname: str
    digest: str
    top: str
    repository: str = ""

    @classmethod
    def of(cls, project: Project, entry: Path, qualname: str = "") -> Self:
        """The mark of a function in a file. Errors: OSError where the file cannot be read."""
        digest = sha256_hex(entry.read_bytes())
        return cls(project.name_of(entry), qualname, digest, str(project.top), project.repository)

    @property
    def identity(self) -> str:
        """What goes into the digest of a run: the entry's path and the qualified name."""
        return f"{self.entry}:{self.qualname}" if self.qualname else self.entry

    def to_record(self) -> dict[str, str]:
        """Its values, for a run's record."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The mark of a run's record. Errors: KeyError where one of its values is missing."""
        return cls(**{name: str(record[name]) for name in cls.__slots__})

    def match(self, now: ExperimentMark) -> Match:
        """Whether a run with this mark is of the experiment that there is now.

        The same path below the top is the same experiment, unless it is another project's: another
        top, no repository in common, another entry file, and the old one still in its place. The
        same content under another path is the same experiment, renamed.
        """
        if self.qualname != now.qualname:
            return "other"
        if self.entry != now.entry:
            return "renamed" if self.digest == now.digest else "other"
        if self.top == now.top or self.digest == now.digest:
            return "same"
        if self.repository and self.repository == now.repository:
            return "same"
        moved = bool(self.repository and now.repository) and not self._still_there()
        return "same" if moved else "other"

    def _still_there(self) -> bool:
        return Path(self.top, self.entry).exists()


@dataclass(frozen=True, slots=True)
class Move:
    """How names of files changed when an experiment was renamed: a beginning became another.

    Attributes:
        before: how the names of a moved folder, or the entry's whole name, began.
        after: what stands there now.
    """

    before: str
    after: str

    @classmethod
    def between(cls, before: str, after: str) -> Self:
        """The move that makes one entry's name of the other's."""
        old, new = PurePosixPath(before).parts, PurePosixPath(after).parts
        common = 0
        while common < min(len(old), len(new)) and old[-1 - common] == new[-1 - common]:
            common += 1
        if common == 0:
            return cls(before, after)
        return cls(_folder(old[: len(old) - common]), _folder(new[: len(new) - common]))

    def apply(self, name: str) -> str:
        """The name that a file has now."""
        if name.startswith("@") or not name.startswith(self.before):
            return name
        return self.after + name.removeprefix(self.before)


def _folder(parts: tuple[str, ...]) -> str:
    return "".join(f"{part}/" for part in parts)


def _repository(git: Path) -> str:
    folder = git
    try:
        if git.is_file():  # a work tree or a submodule: it names where its own folder is
            folder = (git.parent / git.read_text().partition("gitdir:")[2].strip()).resolve()
        common = folder / "commondir"
        if common.is_file():
            folder = (folder / common.read_text().strip()).resolve()
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        parser.read_string("\n".join(_unindented(folder / "config")))
        address = parser.get('remote "origin"', "url", fallback="")
    except (OSError, ValueError, configparser.Error):
        address = ""
    return _without_login(address) or str(folder.absolute())


def _unindented(config: Path) -> list[str]:
    return [line.strip() for line in config.read_text(errors="replace").splitlines()]


def _without_login(address: str) -> str:
    scheme, found, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else address
