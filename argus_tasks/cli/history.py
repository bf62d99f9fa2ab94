"""`argus-tasks history`."""

from __future__ import annotations

import argparse

from argus_tasks.cli.compare import add_root, root_of


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "history",
        help="a metric over the batches of a sweep",
        description="Print how a metric went over the batches of one sweep, cell by cell, and where"
        " its level has changed.",
    )
    parser.add_argument("metric", metavar="METRIC")
    parser.add_argument("--name", help="the sweep's name (default: the only one)")
    parser.add_argument("--last", metavar="N", type=int, help="only the newest N batches")
    add_root(parser)
    parser.set_defaults(handler=show)


def show(args: argparse.Namespace) -> int:
    """Print it."""
    from argus_tasks.base.errors import BadInput
    from argus_tasks.results.needs import needs_scipy

    needs_scipy()
    from argus_tasks.results.history import history
    from argus_tasks.results.history_text import history_lines

    if args.last is not None and args.last < 1:
        raise BadInput(f"--last is {args.last}; expected an integer of 1 or more.")
    print("\n".join(history_lines(history(root_of(args), args.metric, args.name, args.last))))
    return 0
