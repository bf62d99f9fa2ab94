"""Saves a request in the records of its batch, and loads it, so that it can be run again without
its file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import dumps
from argus_tasks.base.given import given_of, lost_of, restored
from argus_tasks.base.ids import digest_of
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.redact import MASK, known_secrets, redact_value
from argus_tasks.experiments.experiment import Experiment, experiment_from
from argus_tasks.planning.request import SweepRequest, checked_configs
from argus_tasks.planning.resolve import resolve
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.spec.options import SECTIONS, name_of_option

# The options that are recorded; trackers are not, since they may contain secrets.
_RECORDED = {
    *SECTIONS,
    "limits",
    "ignore_keys",
    "inputs",
    "job",
    "experiment_type",
    "on_code_change",
}


def request_record(request: SweepRequest) -> dict[str, Any]:
    """The request as JSON for `sweep.json`: its file if it has one, and all that is needed without
    it.

    Secrets are masked, except for those in the base config of a search.
    """
    options = request.spec.model_dump(
        mode="json", by_alias=True, exclude_none=True, include=_RECORDED
    )
    record = {
        "file": str(request.spec.source) if request.spec.source else None,
        "path": request.experiment.path,
        "folder": _import_folder(request.experiment),
        **options,
        "metadata": request.metadata.to_dict() if request.metadata else {},
        "only": len(request.only) if request.only is not None else None,
    }
    plain = redact_value(to_jsonable(record), known_secrets())
    return {**plain, "search": _search_of(request)}


def load_request(folder: SweepFolder) -> SweepRequest:
    """Load the request of a batch, with the configs of its last start.

    The other options are as its sweep file says now; if the file is gone, as they were.

    Raises:
        BadInput: if the record does not contain enough.
    """
    state = folder.state() or {}
    record = (folder.sessions() or [{}])[-1].get("recipe")
    if not isinstance(record, Mapping):
        raise BadInput(f"{folder.path} does not say how it was run; give the sweep file.")
    lines = list(folder.plan())
    search = record.get("search")
    configs = [
        _restored(f"config {line.get('index')} ({line.get('job_id')})", line["config"], line)
        for line in lines
    ]
    base = search and _restored("the base config of the search", search["base"], search)
    common: dict[str, Any] = {
        "name": state.get("name"),
        "project": state.get("project"),
        "results_root": folder.path.parents[1],
        "batch_id": folder.batch_id,
    }
    file = record.get("file")
    if file and Path(file).is_file():
        request = resolve(file, **common)
        searched = request.search if search else None
        asked = checked_configs([base] if search and searched else configs)
        request = replace(request, configs=asked, duplicates=0).with_options(search=searched)
    elif record.get("path"):
        if MASK in dumps([record["path"], record.get("execution"), search and search["asked"]]):
            raise BadInput(
                f"the request of batch {folder.batch_id} contained a secret, which is not recorded;"
                " give the sweep file."
            )
        place = record.get("folder")
        request = resolve(
            [base] if search else configs,
            experiment_from(str(record["path"]), Path(place) if place else None),
            search=search and search["asked"],
            metadata=record.get("metadata"),
            **common,
            **_recorded_options(record),
        )
    else:
        raise BadInput(
            f"the experiment of batch {folder.batch_id} is a function of a script, a notebook or a"
            " closure; run that again instead."
        )
    experiment = request.experiment
    # The batch may be of before the experiment was known by its file, or was renamed.
    names = (experiment.identity, experiment.former_identity, state.get("experiment"))
    for line, config in zip(lines, configs, strict=True):
        ignore = request.spec.ignore_keys
        digests = {digest_of(str(name), config, ignore) for name in names}
        if line.get("digest") not in digests:
            raise BadInput(
                f"config {line.get('index')} ({line.get('job_id')}) cannot be restored from"
                f" {folder.path}/plan.jsonl; give the sweep file."
            )
    return request


def _restored(what: str, plain: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a record. Raises BadInput where the record has lost something of it."""
    given = record.get("given") or {}
    lost = lost_of(given)
    if lost:
        raise BadInput(
            f"{what} cannot be restored from its folder: {', '.join(lost)}; run its script again."
        )
    return restored(plain, given)


def _recorded_options(record: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded options by their names; early records have `on_code_change` in `execution`."""
    recorded = {key: record[key] for key in _RECORDED if record.get(key)}
    found: dict[str, Any] = {}
    for section in SECTIONS:
        for key, value in recorded.pop(section, {}).items():
            found[name_of_option(section, key)] = value
    return found | recorded


def _search_of(request: SweepRequest) -> dict[str, Any] | None:
    if request.search is None:
        return None
    asked = to_jsonable(request.search.model_dump(exclude_none=True, by_alias=True))
    return {
        "trials": request.total,
        "base": to_jsonable(request.configs[0]),
        "given": given_of(request.configs[0]),
        "asked": redact_value(asked, known_secrets()),
    }


def _import_folder(experiment: Experiment) -> str | None:
    """The folder that must be on `sys.path` for the experiment's import path."""
    module = sys.modules.get((experiment.path or "").partition(":")[0])
    file = getattr(module, "__file__", None)
    if experiment.folder or not file:
        return experiment.folder
    name = str(getattr(module, "__name__", ""))
    above = name.count(".") + (Path(file).stem == "__init__")
    return str(Path(file).parents[above])
