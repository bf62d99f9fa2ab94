"""`argus-tasks diff RUN [RUN]`: what changed in the code since a run, or between two."""

from __future__ import annotations

import argparse

from argus_tasks.cli.batch_choice import add_results_root, results_root
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        help="show what changed in the code since a run, or between two runs",
        description="Compare what a run executed with the files that there are now, or with what"
        " another run executed, from the sources that the results root keeps.",
    )
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, or the beginning of a run id or job id"
    )
    parser.add_argument("other", metavar="RUN", nargs="?", help="another run (default: the files)")
    add_results_root(parser)
    parser.set_defaults(handler=diff)


def diff(args: argparse.Namespace) -> int:
    """Print the differences."""
    from argus_tasks.base.visible import visible
    from argus_tasks.cli.logs import known_run_of
    from argus_tasks.planning.run_code import RunCode, diff_between, diff_to_now

    root = results_root(args)
    code = RunCode.of(known_run_of(args.run, root))
    if args.other is None:
        lines = diff_to_now(code)
    else:
        lines = diff_between(code, RunCode.of(known_run_of(args.other, root)))
    for line in lines:
        say(visible(line))
    return EXIT_OK
