"""`argus-tasks clean`: delete run folders by status, age or metric; `--apply` deletes."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.batch_choice import existing_root
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say

_STATUSES = ("failed", "skipped", "succeeded", "running")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "clean",
        help="delete run folders by status, age or metric; without --apply only list them",
        description="Delete the run folders that match all the given conditions. Without --apply"
        " they are only listed. Runs that are running or claimed are never deleted; the next"
        " start of a sweep runs its deleted configs again.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the results root")
    parser.add_argument(
        "--status",
        action="append",
        default=[],
        choices=_STATUSES,
        help="runs with this status (running: those whose process is gone); repeatable",
    )
    parser.add_argument(
        "--older-than", metavar="AGE", help="runs that ended longer ago than this: 30m, 12h, 7d, 2w"
    )
    parser.add_argument("--metric", metavar="M", help="the metric that --above and --below compare")
    parser.add_argument(
        "--above", type=float, metavar="X", help="runs whose metric is greater than X"
    )
    parser.add_argument("--below", type=float, metavar="X", help="runs whose metric is less than X")
    parser.add_argument("--apply", action="store_true", help="delete the folders")
    parser.set_defaults(handler=clean)


def clean(args: argparse.Namespace) -> int:
    """List the matching run folders; with `--apply`, delete them."""
    from argus_tasks.results.compare.baselines import baseline_names, read_baseline
    from argus_tasks.runs.ledger.cleaning import (
        RunFilter,
        removable,
        remove,
        size_of,
        unreferenced_code,
    )

    root = existing_root(args.folder)
    if not (args.status or args.older_than or args.metric):
        raise BadInput("no condition is given; expected --status, --older-than or --metric.")
    if (args.metric is None) != (args.above is None and args.below is None):
        raise BadInput("--metric goes with --above or --below.")
    age = _age(args.older_than) if args.older_than else None
    runs = removable(root, RunFilter(args.status, age, args.metric, args.above, args.below))
    megabytes = sum(size_of(run) for run in runs) / 1e6
    for run in runs:
        say(f"{run.run_id}  {run.status:<9}  {run.record.get('job_id') or ''}")
        if args.apply:
            remove(root, run)
    done = "deleted" if args.apply else "would be deleted (--apply does)"
    say(f"{len(runs)} runs, {megabytes:.1f} MB: {done}")
    baselines = (read_baseline(root, name).side for name in baseline_names(root))
    kept = [row.manifest for side in baselines for row in side.rows if row.manifest]
    loose = unreferenced_code(root, [] if args.apply else runs, kept)
    if loose:
        if args.apply:
            for path in loose:
                path.unlink(missing_ok=True)
        size = sum(loose.values()) / 1e6
        say(f"{len(loose)} files of stored code that no run refers to, {size:.1f} MB: {done}")
    return EXIT_OK


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if found is None:
        raise BadInput(f"--older-than is '{text}'; expected a number and s, m, h, d or w (7d).")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})
