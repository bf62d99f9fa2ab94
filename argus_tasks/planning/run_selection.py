"""Selects the configs of a rerun by the status of their last run, and by their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import MISSING, reach
from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.runs.ledger.catalogue import KnownRun
from argus_tasks.runs.record.causes import OUT_OF_MEMORY
from argus_tasks.runs.record.layout import FAILED, SKIPPED

_NONFINITE = (".inf", "-.inf", ".nan")
_SHORT_CAUSES = {"oom": OUT_OF_MEMORY}


@dataclass(frozen=True, slots=True)
class RunSelection:
    """The configs to be run again.

    A config is selected if its last run matches one of `failed`, `missing`, `skipped`, `causes` and
    `exceptions` (any run if none is given), and it has all values of `where`, and its digest begins
    with one of `digests` (any digest if none is given).

    Attributes:
        failed: the last run failed, and will not be resumed.
        missing: there is no run yet, or it was stopped or cut off.
        skipped: the last run was skipped.
        causes: causes of failure.
        exceptions: class names of errors.
        where: `key=value` each; the key is dotted, the value is JSON, else text.
        digests: the first characters of digests.
    """

    failed: bool = False
    missing: bool = False
    skipped: bool = False
    causes: Sequence[str] = ()
    exceptions: Sequence[str] = ()
    where: Sequence[str] = ()
    digests: Sequence[str] = ()

    def select(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """The selected runs. Raises BadInput if no condition is given, or `where` is not
        `key=value`."""
        by_fate = self.failed or self.missing or self.skipped or self.causes or self.exceptions
        if not (by_fate or self.where or self.digests):
            raise BadInput(
                "nothing is chosen; expected --failed, --missing, --skipped, --cause, --exception,"
                " --where or --digest."
            )
        pairs = [_pair(said) for said in self.where]
        keys = {key for key, _ in pairs}
        for key in sorted(keys):
            if all(reach(run.config, key) is MISSING for run in runs):
                raise BadInput(f"--where names '{key}', which no config has.")
        return [
            run
            for run in runs
            if (not by_fate or self._fits(run.known))
            and all(_same(reach(run.config, key), value) for key, value in pairs)
            and (not self.digests or str(run.digest).startswith(tuple(self.digests)))
        ]

    def _fits(self, known: KnownRun | None) -> bool:
        if known is None or known.resumable:
            return self.missing
        cause, error = str(known.record.get("cause")), known.record.get("error_type")
        if known.status == SKIPPED:
            return self.skipped
        if known.status == FAILED:
            wanted = {_SHORT_CAUSES.get(said.lower(), said).lower() for said in self.causes}
            return self.failed or cause.lower() in wanted or error in self.exceptions
        return known.status not in ("succeeded",) and self.missing


def _pair(said: str) -> tuple[str, Any]:
    key, equals, text = said.partition("=")
    if not equals or not key.strip():
        raise BadInput(f"--where is '{said}'; expected KEY=VALUE, such as lr=0.1.")
    if text in _NONFINITE:  # as YAML writes them
        return key.strip(), float(text.replace(".", ""))
    try:
        return key.strip(), json.loads(text)
    except ValueError:
        return key.strip(), text


def _same(found: Any, wanted: Any) -> bool:
    if found is MISSING:
        return False
    return canonical_json(found) == canonical_json(wanted) or str(found) == wanted
