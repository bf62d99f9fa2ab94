"""The manifest of each run of a process, made from what its recorder has seen."""

from __future__ import annotations

import os
import platform
import sys
from _thread import LockType, allocate_lock
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from argus_tasks.provenance.distributions import versions_of
from argus_tasks.provenance.manifest import CodeFile, Manifest, absences
from argus_tasks.provenance.naming import FileNames
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.recording.content import read_file, sha256_hex
from argus_tasks.provenance.recording.record_journal import records_by
from argus_tasks.provenance.recording.recorder import (
    CONFIG,
    LARGEST_CONFIG,
    MOST_CONFIGS,
    READ,
    Recorder,
)
from argus_tasks.provenance.static_imports import imported_files

_SPAWNERS = ("multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver")


@dataclass(slots=True)
class CodeCollector:
    """Says which manifest a run has.

    Attributes:
        recorder: of this process.
        store: where manifests and sources go.
        editable: the folders of editable distributions, by their names.
        exclude: patterns of names whose changes do not count (`code.exclude`).
        extra: code that this process has not loaded from files, as cells of a notebook.
        preloaded: top-level names that were loaded before user code, by the folders they are in.
        overlapping: runs go on at the same time, on threads: all that the process has loaded counts
            as each one's own.
        failed: why the store could not be written to last; None where it could.
    """

    recorder: Recorder
    store: ObjectStore
    editable: Mapping[str, str] = field(default_factory=dict)
    exclude: Collection[str] = ()
    extra: Collection[CodeFile] = ()
    preloaded: Mapping[str, str] = field(default_factory=dict)
    overlapping: bool = False
    failed: OSError | None = None
    _names: FileNames | None = None
    _lock: LockType = field(default_factory=allocate_lock)
    _deaf: bool = False
    _made_at: int = -1
    _name: str | None = None

    def prepare(self) -> str | None:
        """The manifest of what is loaded before the first run, so that forks find it made."""
        with self.recorder.quiet():
            self._catch_up()
            return self._manifest_name()

    def begin(self) -> str | None:
        """A run begins: the manifest of what it has to begin with; None where it could not be
        stored (`failed` says why)."""
        with self.recorder.quiet():
            self._catch_up(begins=not self.overlapping)
            return self._manifest_name()

    def stale(self) -> list[str]:
        """The files that were executed and are another text now: a fork of this process would run
        two codes, so a fresh attempt is to be given a new process."""
        with self.recorder.quiet():
            return self.recorder.stale()

    def end(self, *, of_command: bool = False) -> str | None:
        """The run ends: the manifest of all that its process and children have loaded; None where a
        command has executed nothing that is known."""
        with self.recorder.quiet():
            self._catch_up()
            if of_command and not self.extra and not self._knows_of_this_run():
                return None
            return self._manifest_name()

    def _catch_up(self, *, begins: bool = False) -> None:
        try:
            self.recorder.catch_up()
            if begins:
                self.recorder.begin_run()
        except OSError:  # an experiment may close any descriptor
            self.recorder.journal = None
            self._deaf, self._made_at = True, -1

    def _knows_of_this_run(self) -> bool:
        recorder = self.recorder
        return bool(recorder.bounded) or any(
            seen.run == recorder.run for seen in list(recorder.files.values())
        )

    def _manifest_name(self) -> str | None:
        with self._lock:  # runs that overlap make it once
            return self._name_of_now()

    def _name_of_now(self) -> str | None:
        version = self.recorder.version
        if version != self._made_at or self._name is None:
            try:
                self._name = self.store.put_manifest(self._manifest())
                self.failed = None
            except OSError as error:
                self._name, self.failed = None, error
            self._made_at = version
        return self._name

    def _manifest(self) -> Manifest:
        recorder = self.recorder
        searched = [*sys.path, *{folder for folder, _ in list(recorder.absent)}]
        names = self._names
        if names is None:
            names = self._names = FileNames(recorder.scope.tops, self.editable)
        names.search(searched)
        files = self._files(names)
        notes = self._follow_bounded(names, files)
        if self._deaf:
            notes.append("a descriptor was closed: what child processes loaded is not known")
        if recorder.cut:
            notes.append(f"of the config files that were opened, {MOST_CONFIGS} are recorded")
        run = recorder.run
        return Manifest(
            files=(*files, *self.extra),
            absent=absences(
                (names.folder_name(folder), name, bare, 0 < when < run)
                for (folder, name), (bare, when) in list(recorder.absent.items())
            ),
            roots=names.roots(),
            packages=versions_of({**self._preloaded_in_use(), **recorder.installed}),
            python=platform.python_version(),
            wrote=tuple(sorted(names.name(path) for path in list(recorder.written))),
            notes=tuple(notes),
        )

    def _files(self, names: FileNames) -> list[CodeFile]:
        recorder = self.recorder
        files = []
        for path, seen in list(recorder.files.items()):
            if path in recorder.written and seen.kind in (READ, CONFIG):
                continue
            name = names.name(path)
            if seen.source is not None:
                self.store.put_source(seen.digest, seen.source, name)
                seen.source = None
            ignored = any(fnmatchcase(name, pattern) for pattern in self.exclude)
            earlier = 0 < seen.run < recorder.run
            files += [
                CodeFile(name, digest, seen.kind, earlier, seen.unsure, False, ignored)
                for digest in {seen.digest, *seen.others}
            ]
        return files

    def _follow_bounded(self, names: FileNames, files: list[CodeFile]) -> list[str]:
        """Add what children that do not record would load, by their import statements."""
        recorder = self.recorder
        scripts = list(recorder.bounded)
        if any(name in sys.modules for name in _SPAWNERS) and not records_by(os.environ):
            scripts += [path for path in list(recorder.files) if path.endswith(".py")]
        if not scripts:
            return []
        known = {file.name for file in files}
        found, cut = imported_files(scripts, recorder.scope)
        for path in found:
            name = names.name(path)
            if name in known:
                continue
            try:
                data = read_file(path)[0]
            except OSError:
                continue
            if len(data) <= LARGEST_CONFIG:
                self.store.put_source(sha256_hex(data), data, name)
            files.append(CodeFile(name, sha256_hex(data), "module", bounded=True))
        said = "a child process did not record its code: its imports were read instead"
        return [f"{said}, and cut at {len(found)} files" if cut else said]

    def _preloaded_in_use(self) -> dict[str, str]:
        """The names, loaded before user code, that user code seems to import."""
        left = dict(self.preloaded)
        used: dict[str, str] = {}
        for module in list(sys.modules.values()):
            if not left:
                break
            path = getattr(module, "__file__", None)
            if type(path) is str and path in self.recorder.files:
                for name in [name for name in left if _refers_to(module, name)]:
                    used[name] = left.pop(name)
        return used


def _refers_to(module: object, name: str) -> bool:
    for value in list(vars(module).values()):
        home = (
            value.__name__ if isinstance(value, type(sys)) else getattr(value, "__module__", None)
        )
        if type(home) is str and home.partition(".")[0] == name:
            return True
    return False
