"""`argus-tasks run FILE`: run a sweep file."""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.cli.codes import EXIT_OK, EXIT_SOME_FAILED, exit_code_after
from argus_tasks.cli.option_flags import add_option_flags, given_options

if TYPE_CHECKING:
    from argus_tasks.planning.request import SweepRequest
    from argus_tasks.session.sweep_session import SweepSession


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="run a sweep file; what succeeded before is reused",
        description="Run every config of a sweep file that has not succeeded yet. An option that"
        " is given here overrules the sweep file's.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep file, YAML or JSON")
    parser.add_argument("--metric", help="show the best run so far by this metric")
    parser.add_argument(
        "--direction",
        choices=("min", "max"),
        help="whether a smaller or a larger value of --metric is better",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="start a new batch, and reuse no earlier run"
    )
    add_option_flags(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run the sweep; returns the exit code."""
    from argus_tasks.planning.resolve import resolve

    request = resolve(args.file, fresh=args.fresh, **given_options(args))
    return run_request(request, args.metric, args.direction)


def run_request(request: SweepRequest, metric: str | None, direction: str | None) -> int:
    """Run a sweep and show its progress on the terminal; returns the exit code."""
    from argus_tasks.api.launch import launch
    from argus_tasks.cli.say import say
    from argus_tasks.cli.watch import duration_text, watching
    from argus_tasks.planning.sweep_plan import batch_of
    from argus_tasks.reporting.undelivered import undelivered_message
    from argus_tasks.runs.ledger.summary import SweepStopped

    # Prefect's own lines would break up the progress bar; its log on the server keeps them.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    if request.search is not None and metric is None:
        metric, direction = request.search.metric, request.search.direction
    say(f"{request.name}: {request.total} configs, {request.workers} workers")
    code = EXIT_OK
    try:
        result = launch(
            request,
            watch=watching(metric, direction),
            notice=say,
            leave=_leave,
        )
        code = EXIT_OK if result.ok else EXIT_SOME_FAILED
    except SweepStopped as stopped:
        result, code = stopped.summary, exit_code_after(stopped.signal)
    say(f"{result.sentence()} in {duration_text(result.duration_sec)}")
    for reason in result.reasons:
        say(reason)
    if (batch := batch_of(request)).known:
        say(f"batch: {batch.batch_id}")
    say(f"results: {request.results_root}")
    if result.not_started or result.stopped:
        say("run the same command again to continue the sweep")
    if waiting := undelivered_message():
        say(waiting)
    gc.freeze()  # at exit Python looks through all of Prefect: two seconds on a busy machine
    return code


def _leave(session: SweepSession) -> None:
    """End the process though something hangs; the folders are complete, as after a kill."""
    from argus_tasks.cli.say import say

    say(
        "something hangs, so this process ends without waiting for it; the next start repairs"
        " what is left open"
    )
    os._exit(exit_code_after(session.stops.signal))
