"""`argus-tasks results`."""

from __future__ import annotations

import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "results",
        help="the leaderboard of a folder of runs",
        description="Read the run folders in DIR and print the leaderboard: runs that differ in "
        "nothing but their seed are one row, with mean and standard deviation. Of several runs of "
        "one config the newest counts.",
    )
    parser.add_argument("folder", metavar="DIR", help="the results root that holds the run folders")
    parser.add_argument("--metric", metavar="M", help="sort by this one (default: the first)")
    parser.add_argument(
        "--direction",
        choices=("min", "max"),
        help="whether less or more is better (default: guessed from the metric's name)",
    )
    parser.add_argument(
        "--group-by",
        metavar="K1,K2",
        help="one row for each combination of these config keys (default: all but the seed)",
    )
    parser.add_argument("--batch", metavar="ID", help="only the runs of this batch")
    parser.add_argument("--top", metavar="N", type=int, help="print the best N rows only")
    for form in ("csv", "json"):
        parser.add_argument(
            f"--{form}",
            metavar="FILE",
            nargs="?",
            const="-",
            help=f"write {form.upper()} to FILE; without FILE print it instead of the table",
        )
    parser.set_defaults(handler=show)


def show(args: argparse.Namespace) -> int:
    """Print and write what was asked for."""
    import json

    from argus_tasks.base.errors import BadInput
    from argus_tasks.base.files import write_text_whole
    from argus_tasks.results.export import csv_text, json_value
    from argus_tasks.results.leaderboard import leaderboard
    from argus_tasks.results.load import load_batch
    from argus_tasks.results.render import print_leaderboard

    if args.top is not None and args.top < 1:
        raise BadInput(f"--top is {args.top}; expected an integer of 1 or more.")
    if args.csv is not None and args.csv == args.json:
        raise BadInput("--csv and --json go to the same place; give one of them another FILE.")
    loaded, superseded = load_batch(args.folder, args.batch)
    keys = [key.strip() for key in args.group_by.split(",")] if args.group_by else None
    board = leaderboard(loaded.rows, args.metric, args.direction, keys)
    texts: dict[str, str] = {}
    if args.csv is not None:
        texts[args.csv] = csv_text(board)
    if args.json is not None:
        texts[args.json] = json.dumps(json_value(board, loaded), indent=2) + "\n"
    for target, text in texts.items():
        if target != "-":
            try:
                write_text_whole(target, text)
            except OSError as error:
                raise BadInput(f"{target!r} cannot be written: {error.strerror}.") from None
    if "-" in texts:
        print(texts["-"], end="")
    else:
        print_leaderboard(board, loaded, root=args.folder, superseded=superseded, top=args.top)
    return 0
