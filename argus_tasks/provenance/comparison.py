"""What a run executed beside what would be executed now."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from fnmatch import fnmatchcase

from argus_tasks.provenance.acceptance import Acceptances
from argus_tasks.provenance.cosmetic import is_cosmetic
from argus_tasks.provenance.distributions import COPY, versions_now
from argus_tasks.provenance.inputs import INPUT
from argus_tasks.provenance.manifest import CELL, Absent, CodeFile, Manifest
from argus_tasks.provenance.naming import FilePlaces
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.project import Move
from argus_tasks.provenance.recording.content import read_file, sha256_hex

READ_KINDS = ("config", "read")
"""The kinds of files that were opened, and not executed."""

_EXTENSIONS = (".so", ".pyd")


class CodeState(IntEnum):
    """How the code of a run stands to the code that there is now; the smaller, the better."""

    SAME = 0
    COSMETIC = 1
    ACCEPTED = 2
    UNSURE = 3
    UNKNOWN = 4
    CHANGED = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not what the run executed.

    Attributes:
        name: the file.
        state: what it amounts to.
        before: SHA-256 of what was executed; None for a file that was not there.
        after: SHA-256 of what is there now; None where nothing is.
        changed_at: when it was changed, ISO 8601 in UTC; None where it is gone.
        text: what there is to say of it besides.
    """

    name: str
    state: CodeState
    before: str | None
    after: str | None
    changed_at: str | None = None
    text: str = ""

    def __str__(self) -> str:
        if self.text:
            return self.text
        if self.after is None:
            return f"{self.name} is gone"
        when = f" ({self.changed_at[:16].replace('T', ' ')} UTC)" if self.changed_at else ""
        return f"{self.name}{when}"


@dataclass(frozen=True, slots=True)
class CodeComparison:
    """What a comparison has found.

    Attributes:
        state: the worst of all differences.
        differences: each of them, the worst first.
        notes: what changed that is not code, and what is not certain, in sentences.
    """

    state: CodeState
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that differ."""
        return tuple(dict.fromkeys(each.name for each in self.differences))


class Present:
    """The code that there is now. Each file is read once, however many runs are compared.

    Args:
        loaded: what this process has loaded, by absolute path, where that is what a run would
            execute (`sequential`, `thread`, notebooks); the disk counts for all else.
        packages: versions of distributions now; asked of this process where not given.
    """

    def __init__(
        self,
        loaded: Mapping[str, str] | None = None,
        packages: Mapping[str, str] | None = None,
    ) -> None:
        self._digests: dict[str, str | None] = dict(loaded or {})
        self._listings: dict[str, frozenset[str]] = {}
        self._extensions: dict[str, dict[str, str]] = {}
        self._packages = packages

    def digest(self, path: str) -> str | None:
        """SHA-256 of a file; None where it cannot be read."""
        if path not in self._digests:
            try:
                self._digests[path] = sha256_hex(read_file(path)[0])
            except OSError:
                self._digests[path] = None
        return self._digests[path]

    def content(self, path: str) -> bytes | None:
        """What is in a file; None where it is not what `digest` said of it."""
        try:
            data = read_file(path)[0]
        except OSError:
            return None
        return data if sha256_hex(data) == self.digest(path) else None

    def listing(self, folder: str) -> frozenset[str]:
        """The names in a folder; none where it is not there."""
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._listings[folder] = frozenset()
        return self._listings[folder]

    def extensions(self, folder: str) -> Mapping[str, str]:
        """The extension modules of a folder: their files by the names of the modules."""
        if folder not in self._extensions:
            self._extensions[folder] = {
                name.partition(".")[0]: name
                for name in self.listing(folder)
                if name.endswith(_EXTENSIONS)
            }
        return self._extensions[folder]

    def packages(self, names: Collection[str]) -> Mapping[str, str]:
        """The versions of distributions."""
        return versions_now(names) if self._packages is None else self._packages


@dataclass(slots=True)
class Comparer:
    """Compares manifests with what there is now; each once, however many runs have it.

    Attributes:
        store: where manifests and sources are.
        top: the project's top folder now.
        present: the code that there is now.
        accepted: the changes that somebody has accepted.
        editable: the folders of editable distributions now, by their names.
        ignored_names: names of config files that runs of the sweep have written themselves.
        cells: SHA-256 of the cells of this notebook, by the names of what they define.
        inputs: SHA-256 of the files that are named as inputs now, by their names.
        included: those of the files that `code.include` names now.
        exclude: the patterns of `code.exclude` now; None: what the manifest marks as ignored.
        python: this Python's version.
    """

    store: ObjectStore
    top: str
    present: Present
    accepted: Acceptances = field(default_factory=Acceptances)
    editable: Mapping[str, str] = field(default_factory=dict)
    ignored_names: Collection[str] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    included: Mapping[str, str] = field(default_factory=dict)
    exclude: Collection[str] | None = None
    python: str = ""
    _known: dict[tuple[str, Move | None], CodeComparison] = field(default_factory=dict)

    def compare(self, manifest_name: str | None, move: Move | None = None) -> CodeComparison:
        """How the run with this manifest stands to what there is now.

        `move`: how the names of its files changed, where its experiment was renamed since.
        """
        key = (manifest_name or "", move)
        if key not in self._known:
            manifest = self.store.manifest(manifest_name) if manifest_name else None
            self._known[key] = (
                CodeComparison(CodeState.UNKNOWN, notes=("its code was not recorded",))
                if manifest is None
                else self._compared(manifest, move)
            )
        return self._known[key]

    def _compared(self, manifest: Manifest, move: Move | None) -> CodeComparison:
        places = FilePlaces(self.top, manifest.roots, self.editable)
        found: list[Difference] = []
        for file in manifest.files:
            if file.kind in READ_KINDS and file.name in self.ignored_names:
                continue
            if file.ignored and self.exclude is None:
                continue
            name = move.apply(file.name) if move is not None else file.name
            if file.kind == INPUT and name not in self.inputs and os.path.exists(places.path(name)):
                continue  # nobody names it any more
            difference = self._of_file(file, name, places.path(name))
            if difference is not None:
                found.append(difference)
        found += self._newly_named(manifest, places)
        found += self._installed_again(manifest)
        for absent in manifest.absent:
            name = absent.folder
            if move is not None:
                name = move.apply("" if name == "." else f"{name}/").rstrip("/") or "."
            found += self._filled(absent, name, places.path(name))
        found = [each for each in found if not self._is_excluded(each.name)]
        found.sort(key=lambda each: (-each.state, each.name))
        told = {(each.name, each.before, each.after): each for each in reversed(found)}
        found = list(reversed(told.values()))
        state = max((each.state for each in found), default=CodeState.SAME)
        return CodeComparison(state, tuple(found), (*manifest.notes, *self._other_notes(manifest)))

    def _newly_named(self, manifest: Manifest, places: FilePlaces) -> Iterable[Difference]:
        """What is named as an input or as code now, and of which the run's list says nothing."""
        known = {file.name for file in manifest.files}
        recorded = any(file.kind == INPUT for file in manifest.files)
        for name in sorted(self.inputs.keys() - known):
            path = places.path(name)
            state = CodeState.CHANGED if recorded else CodeState.UNSURE
            what = "is a new input" if recorded else "was not recorded as an input"
            text = f"{name} {what}"
            yield self._judged(Difference(name, state, None, self.inputs[name], _when(path), text))
        for name in sorted(self.included.keys() - known):
            text = f"{name} is named by code.include, and was not recorded"
            digest, when = self.included[name], _when(places.path(name))
            yield self._judged(Difference(name, CodeState.UNSURE, None, digest, when, text))

    def _installed_again(self, manifest: Manifest) -> Iterable[Difference]:
        """Copies of local projects that have other files now."""
        now = self.present.packages(list(manifest.packages))
        for name, version in sorted(manifest.packages.items()):
            if COPY in version and COPY in now.get(name, "") and version != now[name]:
                text = f"{name} was installed again ({version}, now {now[name]})"
                yield Difference(f"@{name}", CodeState.CHANGED, None, None, text=text)

    def _is_excluded(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.exclude or ())

    def _of_file(self, file: CodeFile, name: str, path: str) -> Difference | None:
        if file.kind == "module":
            hiding = self._hidden_by(path)
            if hiding is not None:
                state = CodeState.UNSURE if file.earlier else CodeState.CHANGED
                text = f"{name.rpartition('/')[0]}/".lstrip("/") + f"{hiding} now hides {name}"
                beside = os.path.join(os.path.dirname(path), hiding)
                new = f"{name.rpartition('/')[0]}/{hiding}".lstrip("/")
                return self._judged(
                    Difference(new, state, None, self.present.digest(beside), _when(beside), text)
                )
        now = self.cells.get(file.name) if file.kind == CELL else self.present.digest(path)
        if now == file.digest:
            if file.unsure:
                text = f"{name} may have been another text when it was loaded"
                return Difference(name, CodeState.UNSURE, file.digest, now, _when(path), text)
            return None
        difference = Difference(name, CodeState.CHANGED, file.digest, now, _when(path))
        if now is not None and self._only_cosmetic(file, name, path):
            return _as(difference, CodeState.UNSURE if file.unsure else CodeState.COSMETIC)
        judged = self._judged(difference)
        if judged.state is CodeState.CHANGED and file.earlier:
            return _as(judged, CodeState.UNSURE)
        return judged

    def _judged(self, difference: Difference) -> Difference:
        if self.accepted.has(difference.name, difference.before, difference.after):
            return _as(difference, CodeState.ACCEPTED)
        return difference

    def _only_cosmetic(self, file: CodeFile, name: str, path: str) -> bool:
        before = self.store.source(file.digest)
        after = self.present.content(path)
        return before is not None and after is not None and is_cosmetic(name, before, after)

    def _hidden_by(self, path: str) -> str | None:
        """What lies beside a module and would be imported in its place."""
        folder, _, base = path.rpartition(os.sep)
        stem, _, suffix = base.rpartition(".")
        if suffix not in ("py", "pyc") or stem == "__init__":
            return None
        if stem in self.present.listing(folder):
            for package in ("__init__.py", "__init__.pyc"):
                if package in self.present.listing(f"{folder}{os.sep}{stem}"):
                    return f"{stem}/{package}"
        return self.present.extensions(folder).get(stem)

    def _filled(self, absent: Absent, folder_name: str, folder: str) -> Iterable[Difference]:
        names = self.present.listing(folder)
        if not names:
            return
        wanted = {*absent.names, *absent.bare}
        for entry in sorted(names):
            stem, dot, suffix = entry.partition(".")
            if stem not in wanted:
                continue
            if not dot:
                path = os.path.join(folder, entry)
                inside = self.present.listing(path)
                starts = [name for name in inside if name.partition(".")[0] == "__init__"]
                if starts:
                    entry = f"{entry}/{min(starts)}"
                elif entry not in absent.bare or not _has_modules(inside):
                    continue
            elif suffix not in ("py", "pyc") and not entry.endswith(_EXTENSIONS):
                continue
            path = os.path.join(folder, entry)
            name = entry if folder_name == "." else f"{folder_name}/{entry}"
            state = CodeState.UNSURE if absent.earlier else CodeState.CHANGED
            text = f"{name} is new, and would be imported as '{stem}'"
            yield self._judged(
                Difference(name, state, None, self.present.digest(path), _when(path), text)
            )

    def _other_notes(self, manifest: Manifest) -> Iterable[str]:
        now = self.present.packages(list(manifest.packages))
        for name, version in sorted(manifest.packages.items()):
            if now.get(name) != version and not (COPY in version and COPY in now.get(name, "")):
                yield f"{name} was {version}, and is {now.get(name, 'not installed')}"
        if self.python and manifest.python and manifest.python != self.python:
            yield f"Python was {manifest.python}, and is {self.python}"


def best(candidates: Iterable[tuple[CodeComparison, str]]) -> tuple[CodeComparison, str] | None:
    """Of the runs of one digest, each with a text by which a newer one is the greater, the one to
    reuse: the best state, the newest within."""
    return max(candidates, key=lambda each: (-each[0].state, each[1]), default=None)


def _as(difference: Difference, state: CodeState) -> Difference:
    return Difference(
        difference.name,
        state,
        difference.before,
        difference.after,
        difference.changed_at,
        difference.text,
    )


def _has_modules(names: Collection[str]) -> bool:
    """Whether a folder without `__init__.py` could be meant as a package."""
    return any(name.endswith((".py", ".so", ".pyc")) for name in names)


def _when(path: str) -> str | None:
    try:
        changed_s = os.stat(path).st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(changed_s, UTC).isoformat(timespec="seconds")
