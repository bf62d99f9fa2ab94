"""Which batch a command is about."""

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
    """The results root that the command is about."""
    from argus_tasks.planning.defaults import results_root_here

    root: Path = args.results_root or results_root_here()
    return root.expanduser().absolute()


def find_batches(root: Path, said: str | None) -> list[SweepFolder]:
    """The batches of this id or sweep name, all of them without; by the time they were made.

    Errors: BadInput where there are none.
    """
    from argus_tasks.runs.ledger.sweep_folder import batches

    known = [(folder, folder.state() or {}) for folder in batches(root)]
    known.sort(key=lambda one: str(one[1].get("created_at")))
    found = [
        folder for folder, state in known if said in (None, folder.batch_id, state.get("name"))
    ]
    if not found:
        wanted = f"batch or sweep '{said}'" if said else "sweep"
        names = [str(word) for folder, state in known for word in (folder.batch_id, state["name"])]
        raise BadInput(f"there is no {wanted} under {root}.{did_you_mean(said or '', names)}")
    return found


def running_session(folder: SweepFolder) -> dict[str, Any] | None:
    """The batch's session that runs now, as far as its process is known to live."""
    session: dict[str, Any] = (folder.sessions() or [{"closed_at": "never"}])[-1]
    return None if folder.is_over(session) else session
