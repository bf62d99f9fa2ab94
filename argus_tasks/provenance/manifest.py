"""The list of what a run executed: sorted lines, named by their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CELL = "cell"
"""The kind of what a notebook's cell defines."""

_FORMAT = "argus-tasks code 1"


@dataclass(frozen=True, slots=True, order=True)
class CodeFile:
    """A file that a run executed or read as a part of its code.

    Attributes:
        name: its path below the project's top; `@root/path` outside of it.
        digest: SHA-256 of what was loaded.
        kind: `module`, `script`, `read`, `config`, `binary`, or `cell` of a notebook.
        earlier: an earlier run of the same process loaded it, and this one perhaps did not use it.
        unsure: another content than this one may have been loaded.
        bounded: found by following import statements, not seen when it was loaded.
        ignored: `code.exclude` names it: its changes do not count.
    """

    name: str
    digest: str
    kind: str = "module"
    earlier: bool = False
    unsure: bool = False
    bounded: bool = False
    ignored: bool = False

    def marks(self) -> list[str]:
        """The marks that it has, as words."""
        return [mark for mark in _MARKS if getattr(self, mark)]


@dataclass(frozen=True, slots=True)
class Absent:
    """Names that were looked for in a folder in vain.

    Attributes:
        names: a module or package of such a name would have been loaded.
        bare: so would a folder without `__init__.py`.
        earlier: an earlier run of the same process looked for them.
    """

    folder: str
    names: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Root:
    """A folder outside the project's top: where it was, from the top and as a whole path."""

    name: str
    relative: str
    absolute: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a run executed.

    Attributes:
        files: the code, by name; a file that changed within the run has several.
        absent: names whose appearance would change what is loaded.
        roots: the folders that names beginning with `@` are in.
        packages: the installed distributions that were imported, with their versions.
        python: the version of Python.
        wrote: files below the top that the run opened for writing.
        notes: what is not certain, in sentences.
    """

    files: tuple[CodeFile, ...] = ()
    absent: tuple[Absent, ...] = ()
    roots: tuple[Root, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    wrote: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The lines, each a JSON array, sorted, after one that names the format."""
        rows: list[list[object]] = [["python", self.python]]
        rows += [["file", each.name, each.digest, each.kind, *each.marks()] for each in self.files]
        rows += [
            ["absent", each.folder, sorted(each.names), sorted(each.bare), each.earlier]
            for each in self.absent
        ]
        rows += [["root", each.name, each.relative, each.absolute] for each in self.roots]
        rows += [["package", name, version] for name, version in self.packages.items()]
        rows += [["wrote", name] for name in self.wrote]
        rows += [["note", note] for note in self.notes]
        lines = sorted(json.dumps(row, separators=(",", ":")) for row in rows)
        return "\n".join([_FORMAT, *lines, ""])

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """The manifest of its text. Errors: ValueError for a text that is none."""
        first, *lines = text.splitlines()
        if first != _FORMAT:
            raise ValueError(f"the format is {first[:40]!r}; expected {_FORMAT!r}")
        files, absent, roots, wrote, notes = [], [], [], [], []
        packages: dict[str, str] = {}
        python = ""
        for row in json.loads(f"[{','.join(lines)}]"):
            match row:
                case ["file", name, digest, kind, *marks]:
                    files.append(CodeFile(name, digest, kind, **dict.fromkeys(marks, True)))
                case ["absent", folder, names, bare, earlier]:
                    absent.append(Absent(folder, tuple(names), tuple(bare), earlier))
                case ["root", name, relative, absolute]:
                    roots.append(Root(name, relative, absolute))
                case ["package", name, version]:
                    packages[name] = version
                case ["python", version]:
                    python = version
                case ["wrote", name]:
                    wrote.append(name)
                case ["note", note]:
                    notes.append(note)
        return cls(
            tuple(files),
            tuple(absent),
            tuple(roots),
            packages,
            python,
            tuple(wrote),
            tuple(notes),
        )


_MARKS = ("earlier", "unsure", "bounded", "ignored")


def name_of(text: str) -> str:
    """What a manifest of this text is called: SHA-256 in hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def absences(found: Iterable[tuple[str, str, bool, bool]]) -> tuple[Absent, ...]:
    """Absences of their rows: folder, name, whether a bare folder would do, whether earlier."""
    names: dict[tuple[str, bool], tuple[list[str], list[str]]] = {}
    for folder, name, bare, earlier in found:
        names.setdefault((folder, earlier), ([], []))[bare].append(name)
    return tuple(
        Absent(folder, tuple(sorted(plain)), tuple(sorted(bare)), earlier)
        for (folder, earlier), (plain, bare) in sorted(names.items())
    )
