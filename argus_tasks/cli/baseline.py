"""`argus-tasks baseline set | list | show | remove`: batches kept by name to compare with."""

from __future__ import annotations

import argparse

from argus_tasks.cli.batch_choice import add_results_root, results_root
from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "baseline",
        help="name the batch that later ones are compared with",
        description="A baseline is a copy of a batch's results under a name. It is kept in the"
        " results root (.sweep/baselines/), also after the runs are deleted.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    setting = actions.add_parser("set", help="store a batch under a name")
    setting.add_argument("name", metavar="NAME")
    setting.add_argument(
        "batch", metavar="BATCH", help="a batch id, a folder of runs, or another baseline"
    )
    setting.add_argument(
        "--move", action="store_true", help="replace the baseline of this name, if there is one"
    )
    setting.set_defaults(handler=set_)
    listing = actions.add_parser("list", help="list all baselines")
    listing.set_defaults(handler=list_)
    showing = actions.add_parser("show", help="print a baseline's leaderboard")
    showing.add_argument("name", metavar="NAME")
    showing.add_argument("--metric", metavar="M", help="sort by this metric (default: the first)")
    showing.set_defaults(handler=show)
    removing = actions.add_parser("remove", help="delete a baseline; the runs stay")
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(handler=remove)
    for action in (setting, listing, showing, removing):
        add_results_root(action)


def set_(args: argparse.Namespace) -> int:
    """Store a batch under a name."""
    from argus_tasks.results.compare.baselines import set_baseline, side_of
    from argus_tasks.results.compare.sides import side_text

    root = results_root(args)
    side = side_of(args.batch, root)
    path = set_baseline(root, args.name, side, move=args.move)
    say(f"{args.name}: {side_text(side)}")
    say(f"kept in {path}")
    return 0


def list_(args: argparse.Namespace) -> int:
    """Print every baseline."""
    from argus_tasks.results.compare.baselines import baselines
    from argus_tasks.results.compare.sides import side_text

    root = results_root(args)
    found = list(baselines(root))
    for baseline in found:
        say(f"{baseline.name}: {side_text(baseline.side)}, set {baseline.set_at[:10]}")
    if not found:
        say(f"there are no baselines under {root}; argus-tasks baseline set NAME BATCH")
    return 0


def show(args: argparse.Namespace) -> int:
    """Print a baseline's leaderboard."""
    from argus_tasks.results.compare.baselines import read_baseline
    from argus_tasks.results.read.rows import Rows
    from argus_tasks.results.tables.leaderboard import leaderboard
    from argus_tasks.results.tables.render import print_leaderboard

    side = read_baseline(results_root(args), args.name).side
    board = leaderboard(side.rows, args.metric)
    print_leaderboard(board, Rows(side.rows, ()), root=f"baseline {args.name} ({side.label})")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Delete a baseline."""
    from argus_tasks.results.compare.baselines import remove_baseline

    root = results_root(args)
    remove_baseline(root, args.name)
    say(f"{args.name} is not a baseline any more; its runs are unchanged")
    return 0
