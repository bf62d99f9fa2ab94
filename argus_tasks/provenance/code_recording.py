"""What a sweep tells its workers about recording code, and how a worker begins to."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from argus_tasks.provenance.collection import CodeCollector
from argus_tasks.provenance.freezing import FrozenCode
from argus_tasks.provenance.loaded_here import recorder_here
from argus_tasks.provenance.manifest import CodeFile
from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.provenance.recording.import_hooks import install, tell_children
from argus_tasks.provenance.recording.recorder import Recorder
from argus_tasks.provenance.recording.scope import INSTALLED_FOLDERS, CodeScope


@dataclass(frozen=True, slots=True)
class CodeRecording:
    """What is to be recorded.

    Attributes:
        top: the project's top folder.
        results_root: the results root.
        batch_id: the batch that stored sources are counted for.
        editable: the folders of distributions that are installed as editable, by their names.
        exclude: patterns of file names whose changes do not count.
        extra: code that workers do not load from files: what is sent to them by value, and inputs.
        frozen: the copy of the project that workers run from; None where they run from its files.
    """

    top: str
    results_root: str
    batch_id: str
    editable: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    extra: tuple[CodeFile, ...] = ()
    frozen: FrozenCode | None = None

    @property
    def scope(self) -> CodeScope:
        """What counts as code."""
        editable = tuple(self._editable().values())
        if self.frozen is None:
            return CodeScope(self.top, self.results_root, editable)
        return CodeScope(str(self.frozen.copy), self.results_root, editable, self.top)

    def _editable(self) -> dict[str, str]:
        if self.frozen is None:
            return dict(self.editable)
        return {name: self.frozen.moved(folder) for name, folder in self.editable.items()}

    def in_worker(self) -> CodeCollector:
        """Record what this process loads from now on; before user code is imported."""
        before = _installed_here()
        recorder = install(self.scope)
        tell_children(recorder)
        return self._collector(recorder, before)

    def in_this_process(self, *, overlapping: bool, command: bool) -> CodeCollector:
        """Record what this process, which is the caller's, has loaded; for a `command`, what that
        does instead. `overlapping`: runs go on at the same time."""
        recorder = Recorder(self.scope, hooked=True) if command else recorder_here(self.scope)
        return self._collector(recorder, {}, overlapping=overlapping)

    def _collector(
        self, recorder: Recorder, preloaded: dict[str, str], *, overlapping: bool = False
    ) -> CodeCollector:
        return CodeCollector(
            recorder,
            ObjectStore(f"{self.results_root}/{OBJECTS}", self.batch_id),
            self._editable(),
            self.exclude,
            self.extra,
            preloaded,
            overlapping,
        )


def _installed_here() -> dict[str, str]:
    """The top-level names of installed distributions that are loaded, and their folders."""
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if "." in name or type(path) is not str:
            continue
        folder = os.path.dirname(path)
        if os.path.basename(path).startswith("__init__."):
            folder = os.path.dirname(folder)
        if folder.endswith(INSTALLED_FOLDERS):
            found[name] = folder
    return found
