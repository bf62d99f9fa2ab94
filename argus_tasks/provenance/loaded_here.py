"""What this process has loaded, where experiments run in it or are sent from it by value."""

from __future__ import annotations

from argus_tasks.provenance.recording.recorder import Recorder
from argus_tasks.provenance.recording.scope import CodeScope

_recorders: dict[tuple[str, str, tuple[str, ...]], Recorder] = {}


def recorder_here(scope: CodeScope) -> Recorder:
    """The recorder of this process for a project, which keeps what each module was when it was
    first seen: a file that is edited later changes nothing until it is loaded again. It has no
    hooks, so the process of the caller is left as it is."""
    key = (scope.top, scope.results_root, scope.editable)
    recorder = _recorders.setdefault(key, Recorder(scope))
    recorder.catch_up()
    return recorder
