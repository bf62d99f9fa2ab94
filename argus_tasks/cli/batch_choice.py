"""Finding the results root and the batch that a command names."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_tasks.base.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from argus_tasks.runs.ledger.sweep_folder import SweepFolder


def add_results_root(parser: argparse.ArgumentParser) -> None:
    """Add `--results-root`."""
    parser.add_argument(
        "--results-root",
        type=Path,
        metavar="DIR",
        help="default: results/ here or in git's top folder",
    )


def results_root(args: argparse.Namespace) -> Path:
    """The results root given on the command line, else the default; absolute."""
    from argus_tasks.planning.defaults import results_root_here

    root: Path = args.results_root or results_root_here()
    return root.expanduser().absolute()


def existing_root(folder: Path) -> Path:
    """The results root, as an absolute path. Errors: BadInput where there is no such folder."""
    root = folder.expanduser().absolute()
    if not root.is_dir():
        raise BadInput(f"there is no folder {root}; expected a results root.")
    return root


def find_batches(root: Path, wanted: str | None, kind: str = "batch or sweep") -> list[SweepFolder]:
    """The batches with this id or sweep name, oldest first; all batches where it is None.

    Errors: BadInput where there are none; `kind` says what `wanted` may name.
    """
    from argus_tasks.runs.ledger.sweep_folder import batches

    known = [(folder, folder.state() or {}) for folder in batches(root)]
    known.sort(key=lambda one: str(one[1].get("created_at")))
    found = [
        folder for folder, state in known if wanted in (None, folder.batch_id, state.get("name"))
    ]
    if not found:
        what = f"{kind} '{wanted}'" if wanted else "sweep"
        ids = [folder.batch_id for folder, _ in known]
        names = [*ids, *(str(state.get("name")) for _, state in known)]
        raise BadInput(f"there is no {what} under {root}.{did_you_mean(wanted or '', names)}")
    return found


def running_session(folder: SweepFolder) -> dict[str, Any] | None:
    """The batch's running session; None where its process is known to be gone."""
    session: dict[str, Any] = (folder.sessions() or [{"closed_at": "never"}])[-1]
    return None if folder.is_over(session) else session
