"""`argus-tasks rerun`: run chosen configs of a sweep again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.planning.request import SweepRequest
    from argus_tasks.planning.sweep_plan import PlannedRun


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "rerun",
        help="run configs again that failed, are missing, or match",
        description="Run chosen configs of a sweep again. Nothing is deleted: a new run names the"
        " earlier one as its parent; a stopped or killed run is resumed in its folder.",
    )
    parser.add_argument(
        "what", type=Path, metavar="DIR_OR_FILE", help="a results root, or a sweep file"
    )
    parser.add_argument("--batch", metavar="ID", help="which batch of DIR (default: the newest)")
    parser.add_argument("--failed", action="store_true", help="configs whose last run failed")
    parser.add_argument(
        "--missing",
        action="store_true",
        help="configs that were not run, or whose run was stopped or killed",
    )
    parser.add_argument("--skipped", action="store_true", help="configs whose last run was skipped")
    for name, metavar, text in (
        (
            "cause",
            "CAUSE",
            "configs that failed with this cause: OOM, timeout, 'signal SIGSEGV', ...",
        ),
        ("exception", "CLASS", "configs that failed with this exception: ValueError, ..."),
        ("where", "KEY=VALUE", "only configs with this value; a nested key is written with dots"),
        ("digest", "DIGEST", "only this config; the beginning of its digest is enough"),
    ):
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar=metavar, help=f"{text}; repeatable"
        )
    parser.add_argument("--results-root", type=Path, metavar="DIR", help="the results root of FILE")
    parser.add_argument("--dry-run", action="store_true", help="only list the configs")
    parser.set_defaults(handler=rerun)


def rerun(args: argparse.Namespace) -> int:
    """Choose the configs, and run them."""
    from argus_tasks.cli.run import run_request
    from argus_tasks.planning.run_selection import RunSelection
    from argus_tasks.session.prepared_sweep import make_plan

    request = _request(args)
    choice = RunSelection(
        failed=args.failed,
        missing=args.missing,
        skipped=args.skipped,
        causes=args.cause,
        exceptions=args.exception,
        where=args.where,
        digests=args.digest,
    )
    plan = make_plan(request)
    if plan.reason_nothing_reused:
        raise BadInput(f"{plan.reason_nothing_reused}: how its configs ended is not known.")
    known = [run for run in plan.runs if run.trial is None or run.digest]
    chosen = choice.select(known)
    say(f"{len(chosen)} of {len(known)} configs of {request.name} are to be run again")
    for run in chosen:
        say(f"  {run.name:<40} {_last(run)}")
    if args.dry_run or not chosen:
        return EXIT_OK
    digests = frozenset(str(run.digest) for run in chosen)
    return run_request(replace(request, only=digests, batch_id=plan.batch_id), None, None)


def _request(args: argparse.Namespace) -> SweepRequest:
    from argus_tasks.cli.batch_choice import find_batches
    from argus_tasks.planning.resolve import resolve
    from argus_tasks.planning.saved_request import load_request

    if args.what.is_dir():
        return load_request(find_batches(args.what.absolute(), args.batch)[-1])
    if args.batch is not None:
        raise BadInput(
            "--batch is for a results root; a sweep file always continues its own batch."
        )
    return resolve(args.what, results_root=args.results_root)


def _last(run: PlannedRun) -> str:
    known = run.known
    if known is None:
        return "not run yet"
    cause = known.record.get("cause")
    return f"{known.status}{f': {cause}' if cause else ''} ({known.run_id})"
