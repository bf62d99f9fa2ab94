"""`argus-tasks accept FILE --because TEXT`: bless a change of code, so that results stay."""

from __future__ import annotations

import argparse
from pathlib import Path

from argus_tasks.cli.batch_choice import add_results_root, existing_root, results_root
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "accept",
        help="accept a change of a file, so that earlier runs still count",
        description="Say that a file, as it is now, may stand in the place of what runs executed:"
        " these runs are reused, and 'plan', 'results' and 'verify' say so. Only this change, from"
        " that content to this one, is accepted; the next edit is noticed again.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the changed file")
    parser.add_argument("--because", required=True, metavar="TEXT", help="why it makes no change")
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="accept in the place of what this run executed (default: the newest run with a change"
        " that is not accepted yet)",
    )
    add_results_root(parser)
    parser.set_defaults(handler=accept)


def accept(args: argparse.Namespace) -> int:
    """Write the acceptance down."""
    from argus_tasks.base.errors import BadInput
    from argus_tasks.cli.logs import known_run_of
    from argus_tasks.planning.run_code import accept as accepted_change

    if not args.because.strip():
        raise BadInput("--because is empty; expected a reason, which is kept.")
    root = existing_root(results_root(args))
    run = known_run_of(args.run, root) if args.run is not None else None
    accepted, count = accepted_change(root, args.file, args.because.strip(), run)
    was = accepted.before[:12] if accepted.before is not None else "not there"
    now = accepted.after[:12] if accepted.after is not None else "gone"
    runs = "1 run" if count == 1 else f"{count} runs"
    say(f"accepted: {accepted.path} ({was}, now {now}), for {runs}")
    return EXIT_OK
