"""`argus-tasks history`: a metric over the batches of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from argus_tasks.cli.batch_choice import add_results_root, results_root
from argus_tasks.cli.say import say, write_asked


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "history",
        help="show how a metric changed over the batches of a sweep",
        description="Print a metric over the batches of one sweep, for each cell (the runs that"
        " differ only in their seed), and the batches at which its level changed.",
    )
    parser.add_argument("metric", metavar="METRIC")
    parser.add_argument("--name", help="the sweep's name (default: the only one)")
    parser.add_argument("--last", metavar="N", type=int, help="only the newest N batches")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with plots")
    add_results_root(parser)
    parser.set_defaults(handler=show)


def show(args: argparse.Namespace) -> int:
    """Print the history."""
    from argus_tasks.base.errors import BadInput
    from argus_tasks.results.read.needs import needs_plotting, needs_scipy

    needs_scipy()
    from argus_tasks.results.compare.batch_history import history
    from argus_tasks.results.compare.history_text import history_lines

    if args.last is not None and args.last < 1:
        raise BadInput(f"--last is {args.last}; expected an integer of 1 or more.")
    found = history(results_root(args), args.metric, args.name, args.last)
    if args.html is not None:
        needs_plotting()
        from argus_tasks.results.report.history_page import history_html

        write_asked(args.html, history_html(found))
    say("\n".join(history_lines(found)))
    return 0
