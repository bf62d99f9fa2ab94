"""Compares the present version of the code with that of earlier runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from argus_tasks.base.repo import code_of
from argus_tasks.experiments.experiment import Experiment
from argus_tasks.runs.ledger.catalogue import KnownRun


def code_of_experiment(experiment: Experiment, results_root: Path) -> str | None:
    """The version of the code in the experiment's folder; None without Git."""
    folder = Path(experiment.folder) if experiment.folder else Path.cwd()
    module = sys.modules.get((experiment.path or "").partition(":")[0])
    file = getattr(module, "__file__", None) if experiment.function is not None else None
    if file:
        folder = Path(file).parent
    return code_of(folder, results_root) if folder.is_dir() else None


def made_by_other_code(known: KnownRun | None, code: str | None) -> bool:
    """Whether the run was made by another version of the code, as far as both are known."""
    made_by = known.record.get("code") if known is not None else None
    return made_by is not None and code is not None and made_by != code


def describe_change(found: Iterable[KnownRun], code: str | None, what: str) -> str:
    """One sentence: `3 runs that are reused were made by other code: 2 by A, 1 by B; it
    is C now`."""
    made_by = Counter(str(run.record.get("code")) for run in found)
    versions = ", ".join(f"{count} by {name}" for name, count in made_by.most_common(3))
    return f"{what} made by other code: {versions}; it is {code} now"
