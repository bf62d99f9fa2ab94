"""`argus-tasks clean`: take run folders away, by status, age and score; dry unless told."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say

_STATUSES = ("failed", "skipped", "succeeded", "running")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "clean",
        help="delete run folders by status, age or score; says what, and deletes with --apply",
        description="Delete the run folders that fit all that is given. Without --apply it only"
        " says which. What runs, or is claimed, is never deleted; what is deleted is run again by"
        " the next start of its sweep.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the results root")
    parser.add_argument(
        "--status",
        action="append",
        default=[],
        choices=_STATUSES,
        help="such runs (running: whose process is gone); repeatable",
    )
    parser.add_argument("--older-than", metavar="AGE", help="ended so long ago: 30m, 12h, 7d, 2w")
    parser.add_argument("--metric", metavar="M", help="a metric, for --above and --below")
    parser.add_argument("--above", type=float, metavar="X", help="whose metric is greater")
    parser.add_argument("--below", type=float, metavar="X", help="whose metric is less")
    parser.add_argument("--apply", action="store_true", help="delete them")
    parser.set_defaults(handler=clean)


def clean(args: argparse.Namespace) -> int:
    """Say what fits; delete it where told to."""
    from argus_tasks.runs.ledger.cleaning import Wanted, removable, remove, size_of

    root: Path = args.folder.expanduser().absolute()
    if not root.is_dir():
        raise BadInput(f"there is no folder {root}; expected a results root.")
    if not (args.status or args.older_than or args.metric):
        raise BadInput("nothing is chosen; expected --status, --older-than or --metric.")
    if (args.metric is None) != (args.above is None and args.below is None):
        raise BadInput("--metric goes with --above or --below.")
    age = _age(args.older_than) if args.older_than else None
    runs = removable(root, Wanted(args.status, age, args.metric, args.above, args.below))
    megabytes = sum(size_of(run) for run in runs) / 1e6
    for run in runs:
        say(f"{run.run_id}  {run.status:<9}  {run.record.get('job_id') or ''}")
        if args.apply:
            remove(root, run)
    done = "deleted" if args.apply else "would be deleted (--apply does)"
    say(f"{len(runs)} runs, {megabytes:.1f} MB: {done}")
    return EXIT_OK


def _age(said: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", said.strip())
    if found is None:
        raise BadInput(f"--older-than is '{said}'; expected a number and m, h, d or w, such as 7d.")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})
