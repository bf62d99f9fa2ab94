"""`argus-tasks results`: print the leaderboard of a results root, or write it to files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argus_tasks.cli.say import say, write_asked

if TYPE_CHECKING:
    from argus_tasks.results.read.rows import Rows
    from argus_tasks.results.tables.leaderboard import Leaderboard
    from argus_tasks.results.tables.pivot import Pivot

FORMS = {"csv": "CSV", "json": "JSON", "latex": "a LaTeX table", "markdown": "a Markdown table"}
PAGE_WIDTH = 160


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "results",
        help="print the leaderboard of a results root",
        description="Read the run folders in DIR and print the leaderboard. Runs that differ"
        " only in their seed are one row, with mean and standard deviation. Of several runs of"
        " one config the newest counts.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        help="the results root (default: results/ here or in git's top folder)",
    )
    parser.add_argument("--metric", metavar="M", help="sort by this metric (default: the first)")
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
    parser.add_argument(
        "--pivot",
        metavar="K1,K2",
        help="print a matrix of the metric by two config keys, such as model,dataset; * marks the"
        " best of a column, ! the worst",
    )
    for form, name in FORMS.items():
        parser.add_argument(
            f"--{form}",
            metavar="FILE",
            nargs="?",
            const="-",
            help=f"write {name} to FILE; without FILE print it instead of the table",
        )
    parser.add_argument("--parquet", metavar="FILE", help="write every run to a Parquet file")
    parser.set_defaults(handler=show)


def show(args: argparse.Namespace) -> int:
    """Print the table, and write the files asked for."""
    from argus_tasks.base.errors import BadInput
    from argus_tasks.planning.defaults import results_root_here
    from argus_tasks.results.read.load import load_batch
    from argus_tasks.results.tables.frames import write_parquet
    from argus_tasks.results.tables.leaderboard import leaderboard
    from argus_tasks.results.tables.pivot import keys_of, pivot
    from argus_tasks.results.tables.render import print_leaderboard, print_pivot

    if args.top is not None and args.top < 1:
        raise BadInput(f"--top is {args.top}; expected an integer of 1 or more.")
    targets = {form: getattr(args, form) for form in FORMS if getattr(args, form) is not None}
    for form, target in targets.items():
        for other in targets:
            if other < form and targets[other] == target:
                raise BadInput(
                    f"--{other} and --{form} go to the same place; give one of them another FILE."
                )
    root = str(args.folder or results_root_here())
    loaded, superseded = load_batch(root, args.batch)
    keys = [key.strip() for key in args.group_by.split(",")] if args.group_by else None
    board = leaderboard(loaded.rows, args.metric, args.direction, keys)
    table = None
    if args.pivot:
        table = pivot(loaded.rows, *keys_of(args.pivot), args.metric, args.direction)
    if args.parquet is not None:
        write_parquet(args.parquet, loaded.rows)
    texts = {target: _text(form, board, table, loaded) for form, target in targets.items()}
    for target, text in texts.items():
        if target != "-":
            write_asked(target, text)
    if "-" in texts:
        say(texts["-"], end="")
    elif table is not None:
        print_pivot(table)
    else:
        print_leaderboard(board, loaded, root=root, superseded=superseded, top=args.top)
    return 0


def _text(form: str, board: Leaderboard, table: Pivot | None, loaded: Rows) -> str:
    import json

    from argus_tasks.results.tables.export import csv_text, json_value
    from argus_tasks.results.tables.formats import BOLD_LATEX, BOLD_MARKDOWN, latex, markdown
    from argus_tasks.results.tables.pivot import pivot_columns
    from argus_tasks.results.tables.table import columns_of

    if form == "csv":
        return csv_text(board)
    if form == "json":
        return json.dumps(json_value(board, loaded), indent=2) + "\n"
    if table is None:
        columns = columns_of(board, board.groups, width=PAGE_WIDTH)
    else:
        bold = BOLD_LATEX if form == "latex" else BOLD_MARKDOWN
        columns = pivot_columns(table, best=bold, worst="{}")
    return latex(columns) if form == "latex" else markdown(columns)
