"""`argus-tasks compare A B`: whether batch B is better or worse than batch A."""

from __future__ import annotations

import argparse

from argus_tasks.cli.batch_choice import add_results_root, results_root
from argus_tasks.cli.say import say

EXIT_WORSE = 1
EXIT_NOT_COMPARABLE = 3


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="say whether one batch is better or worse than another",
        description="Compare two batches for each cell (the runs that differ only in their"
        " seed): better, worse, no evidence, or not comparable. A and B are each a baseline's"
        " name, a batch id, a results root, or a baseline's file.",
        epilog="exit codes: 0 better or no evidence, 1 worse, 2 bad input, 3 nothing can be"
        " compared",
    )
    parser.add_argument("before", metavar="A", help="the batch to compare with")
    parser.add_argument("after", metavar="B", help="the batch that is judged")
    add_comparing(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    add_results_root(parser)
    parser.set_defaults(handler=show)


def add_comparing(parser: argparse.ArgumentParser) -> None:
    """Add the options of a comparison."""
    parser.add_argument(
        "--metric", metavar="M", help="the metric to compare (default: the first of metrics.json)"
    )
    parser.add_argument(
        "--direction",
        choices=("min", "max"),
        help="whether less or more is better (default: guessed from the metric's name)",
    )
    parser.add_argument(
        "--min-effect",
        metavar="X",
        help="ignore smaller changes: 2%% of A's value, or 0.01 in the metric's own unit"
        " (default: 0; for time and memory 5%%)",
    )
    parser.add_argument(
        "--allow",
        metavar="WHAT",
        default="",
        help="what may differ between A and B, separated by commas: host, data, code",
    )


def show(args: argparse.Namespace) -> int:
    """Print the comparison; the exit code is its verdict."""
    import json

    from argus_tasks.results.read.needs import needs_scipy

    needs_scipy()
    from argus_tasks.results.compare.baselines import side_of
    from argus_tasks.results.compare.comparison_text import comparison_lines, json_value
    from argus_tasks.results.compare.verdict import Verdict, compare
    from argus_tasks.results.stats.min_effect import min_effect_of

    root = results_root(args)
    found = compare(
        side_of(args.before, root),
        side_of(args.after, root),
        args.metric,
        args.direction,
        None if args.min_effect is None else min_effect_of(args.min_effect),
        allow=[word.strip() for word in args.allow.split(",") if word.strip()],
    )
    if args.json:
        say(json.dumps(json_value(found), indent=2))
    else:
        say("\n".join(comparison_lines(found)))
    if found.verdict is Verdict.WORSE:
        return EXIT_WORSE
    return EXIT_NOT_COMPARABLE if found.verdict is Verdict.NOT_COMPARABLE else 0
