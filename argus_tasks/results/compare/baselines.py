"""Named baselines: copies of a batch's results under `.sweep/baselines/`, kept without its runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.files import read_json, write_json
from argus_tasks.base.given import NONFINITE, distinguished, given_of
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.results.compare.sides import Side, batch_side, folder_side
from argus_tasks.results.read.rows import Row
from argus_tasks.runs.record.layout import SWEEP_FOLDER

SCHEMA_VERSION = 1
_FOLDER = "baselines"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline: its name, its runs, and when it was set (ISO 8601 UTC)."""

    name: str
    set_at: str
    side: Side


def set_baseline(root: Path, name: str, side: Side, *, move: bool = False) -> Path:
    """Store a side as a baseline; returns its file.

    Errors: BadInput for a name that cannot be a file's, for a side without a succeeded run, and for
        a
    name that is taken, unless `move` is True.
    """
    path = _path(root, name)
    if not any(row.status == "succeeded" for row in side.rows):
        raise BadInput(f"{side.label!r} has no run that succeeded; a baseline needs at least one.")
    if path.exists() and not move:
        before = read_baseline(root, name).side
        raise BadInput(
            f"there is a baseline {name!r} already, of {before.label!r}; to replace it, add --move."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "set_at": utc_now_iso(),
        "of": {key: getattr(side, key) for key in _SIDE_KEYS},
        "runs": [
            {field.name: getattr(row, field.name) for field in fields(Row)} for row in side.rows
        ],
    }
    nonfinite = {key: kind for key, kind in given_of(value).items() if kind in NONFINITE}
    value |= {"nonfinite": nonfinite} if nonfinite else {}
    write_json(path, to_jsonable(value), sync=True, indent=None)
    return path


def read_baseline(root: Path, name: str) -> Baseline:
    """The baseline of this name. Errors: BadInput where there is none, or it cannot be read."""
    path = _path(root, name)
    if not path.exists():
        known = baseline_names(root)
        raise BadInput(
            f"there is no baseline {name!r} under {root}; there are"
            f" {', '.join(known) or 'none'}.{did_you_mean(name, known)}"
        )
    return baseline_from(path)


def check_baseline(root: Path, name: str, *, may_make: bool) -> None:
    """Raise BadInput for an impossible name, and for an unknown one while there are other
    baselines: it is probably mistyped, unless the caller is to make it (`may_make`). Where there is
    no baseline at all, it will be the first.
    """
    path = _path(root, name)
    if baseline_names(root) and not path.exists() and not may_make:
        read_baseline(root, name)


def baseline_from(path: Path) -> Baseline:
    """The baseline in a file. Errors: BadInput where the file is not a readable baseline."""
    try:
        value = read_json(path)
        value = distinguished(value, value.get("nonfinite", {}), "")
        names = [field.name for field in fields(Row)]
        rows = tuple(
            Row(
                **{name: run.get(name) for name in names}
                | {"path": Path(run["path"])}
                | {"earlier_manifests": tuple(run.get("earlier_manifests") or ())}
            )
            for run in value["runs"]
        )
        ignored = tuple(value["of"].get("ignore_keys") or ())
        facts = {key: value["of"].get(key) for key in _SIDE_KEYS}
        side = Side(**{**facts, "ignore_keys": ignored}, rows=rows)
        return Baseline(value["name"], value["set_at"], side)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{str(path)!r} cannot be read as a baseline: {error!r}.") from None


def remove_baseline(root: Path, name: str) -> None:
    """Delete a baseline; the runs stay. Errors: BadInput where there is none."""
    read_baseline(root, name)
    _path(root, name).unlink()


def baseline_names(root: Path) -> list[str]:
    """The names of the baselines under a results root."""
    return sorted(path.stem for path in (root / SWEEP_FOLDER / _FOLDER).glob("*.json"))


def baselines(root: Path) -> Iterator[Baseline]:
    """Every baseline under a results root, by name."""
    for name in baseline_names(root):
        yield read_baseline(root, name)


def side_of(text: str, root: Path) -> Side:
    """The runs that a text names: a baseline's name, a batch id, a baseline's file, or a results
    root.

    Errors: BadInput where it names none of these.
    """
    if text in baseline_names(root):
        return read_baseline(root, text).side
    path = Path(text).expanduser()
    if path.is_file():
        return baseline_from(path).side
    is_batch = "/" not in text and (root / SWEEP_FOLDER / text).is_dir()
    if is_batch or not path.is_dir():
        if not root.is_dir():
            raise BadInput(f"there is no folder {str(root)!r}; expected a folder of runs.")
        return _batch_or_hint(text, root)
    return folder_side(path, text)


def _batch_or_hint(text: str, root: Path) -> Side:
    try:
        return batch_side(root, text)
    except BadInput as error:
        names = ", ".join(baseline_names(root)) or "none"
        raise BadInput(f"{error} Baselines: {names}.") from None


def _path(root: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be a baseline's name; expected letters, digits and . _ - (80 at"
            " most)."
        )
    return root / SWEEP_FOLDER / _FOLDER / f"{name}.json"


_SIDE_KEYS: tuple[Any, ...] = (
    "label",
    "batch_id",
    "name",
    "experiment",
    "created_at",
    "ignore_keys",
)
