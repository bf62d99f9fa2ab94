"""The code that a start would execute: what it is compared by, and what workers are to record."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from argus_tasks.base.settings import cache_home
from argus_tasks.experiments.experiment import Experiment
from argus_tasks.planning.request import SweepRequest
from argus_tasks.provenance.acceptance import FILE_NAME, Acceptances
from argus_tasks.provenance.code_recording import CodeRecording
from argus_tasks.provenance.comparison import Comparer, Present
from argus_tasks.provenance.distributions import copies_in_use, editable_folders
from argus_tasks.provenance.freezing import FROZEN, FrozenCode
from argus_tasks.provenance.inputs import INPUT, InputHashes, input_files
from argus_tasks.provenance.loaded_here import recorder_here
from argus_tasks.provenance.manifest import CELL, CodeFile
from argus_tasks.provenance.naming import FileNames, FilePlaces
from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.provenance.project import Project
from argus_tasks.provenance.reached import Reached, reached_cells
from argus_tasks.provenance.recording.content import sha256_hex
from argus_tasks.provenance.recording.recorder import SCRIPT
from argus_tasks.provenance.recording.scope import CodeScope
from argus_tasks.runs.record.layout import SWEEP_FOLDER
from argus_tasks.spec.modes import UNISOLATED


@dataclass(frozen=True, slots=True)
class PresentCode:
    """The code that there is now, for one request.

    Attributes:
        top: the project's top folder.
        results_root: the results root.
        loaded: SHA-256 of what this process has loaded, by path, as far as runs would execute that.
        sent: the files that reach workers by value, from this process.
        cells: what the function reaches in cells of a notebook.
        named: the files that `inputs` and `code.include` name.
        exclude: the patterns of `code.exclude`.
    """

    top: str
    results_root: Path
    loaded: dict[str, str]
    sent: tuple[CodeFile, ...]
    cells: tuple[Reached, ...]
    named: tuple[CodeFile, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: SweepRequest) -> PresentCode:
        """The code of a request, as it is on disk and in this process. Raises BadInput for inputs
        that are not there."""
        experiment, root = request.experiment, request.results_root
        mark = experiment.mark
        top = mark.top if mark is not None else str(Project.of(Path.cwd()).top)
        cells = reached_cells(experiment.function) if experiment.function is not None else ()
        here = request.execution.mode in UNISOLATED
        loaded: dict[str, str] = {}
        sent: tuple[CodeFile, ...] = ()
        if here or _is_sent(experiment):
            editable = editable_folders()
            scope = CodeScope(top, str(root), tuple(editable.values()))
            seen = recorder_here(scope).files
            if here:
                loaded = {path: each.digest for path, each in seen.items()}
            elif mark is not None and (each := seen.get(str(Path(top, mark.entry)))) is not None:
                path = str(Path(top, mark.entry))
                loaded = {path: each.digest}
                name = FileNames(top, editable).name(path)
                sent = (CodeFile(name, each.digest, SCRIPT, unsure=each.unsure),)
        named = _named(request, top)
        loaded |= {path: file.digest for path, file in named.items()}
        exclude = tuple(request.spec.code.exclude)
        return cls(top, root, loaded, sent, cells, tuple(named.values()), exclude)

    @property
    def store(self) -> ObjectStore:
        """Where the results root keeps manifests and sources."""
        return ObjectStore(self.results_root / OBJECTS)

    def comparer(self, written: Collection[str]) -> Comparer:
        """Compares earlier runs with it. `written`: names of files that runs have written."""
        return Comparer(
            self.store,
            self.top,
            Present(self.loaded),
            Acceptances(self.results_root / SWEEP_FOLDER / FILE_NAME),
            editable_folders(),
            written,
            {each.name: each.digest for each in self.cells},
            {file.name: file.digest for file in self.named if file.kind == INPUT},
            {file.name: file.digest for file in self.named if file.kind != INPUT},
            self.exclude,
            platform.python_version(),
        )

    def paths(self, manifest_name: str) -> list[str]:
        """Where the files of a manifest, and the folders of its absences, lie now."""
        manifest = self.store.manifest(manifest_name)
        if manifest is None:
            return []
        places = FilePlaces(self.top, manifest.roots, editable_folders())
        names = [file.name for file in manifest.files if file.kind != CELL]
        return [places.path(name) for name in (*names, *(each.folder for each in manifest.absent))]

    def copies(self, manifest_name: str) -> list[str]:
        """The distributions of a manifest that were installed as copies of what lies in the
        project: its edits do not change what is imported."""
        manifest = self.store.manifest(manifest_name)
        return copies_in_use(manifest.packages, self.top) if manifest is not None else []

    def written(self, manifest_names: Iterable[str]) -> frozenset[str]:
        """The files that runs with these manifests have written themselves: where a run reads one,
        it is no code."""
        found = map(self.store.manifest, manifest_names)
        return frozenset(name for each in found if each is not None for name in each.wrote)

    def keep_sources(self, batch_id: str) -> None:
        """Store the sources that only this process has. Errors: OSError."""
        store = ObjectStore(self.results_root / OBJECTS, batch_id)
        for cell in self.cells:
            store.put_source(cell.digest, cell.source, cell.name)
        for file in self.sent:
            content = Present().content(str(Path(self.top, file.name)))
            if content is not None and sha256_hex(content) == file.digest:
                store.put_source(file.digest, content, file.name)

    def recording(self, batch_id: str, *, freeze: bool = False) -> CodeRecording:
        """What is to be recorded of the runs of a batch, which with `freeze` are to run from a copy
        that is made now. Raises BadInput where that would be too large."""
        frozen = None
        if freeze:
            copy = self.results_root / FROZEN / f"{batch_id}-{token_hex(4)}"
            frozen = FrozenCode.of(Path(self.top), copy)
        cells = tuple(CodeFile(each.name, each.digest, CELL) for each in self.cells)
        return CodeRecording(
            self.top,
            str(self.results_root),
            batch_id,
            editable_folders(),
            self.exclude,
            (*self.sent, *cells, *self.named),
            frozen,
        )


def _named(request: SweepRequest, top: str) -> dict[str, CodeFile]:
    """The files that the sweep names as inputs and as code, by their absolute paths."""
    spec = request.spec
    if not spec.inputs and not spec.code.include:
        return {}
    names, folder = FileNames(top, editable_folders()), str(spec.folder)
    hashes = InputHashes(str(cache_home() / "inputs.jsonl"))
    inputs = input_files(spec.inputs, folder, names, hashes)
    code = input_files(spec.code.include, folder, names, hashes, key="code.include", kind=SCRIPT)
    return inputs | code


def _is_sent(experiment: Experiment) -> bool:
    """Whether workers get the function by value."""
    return experiment.function is not None and experiment.path is None
