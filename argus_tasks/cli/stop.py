"""`argus-tasks stop`: stop a running sweep from any shell that can write its results root."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.cli.batch_choice import (
    add_results_root,
    find_batches,
    results_root,
    running_session,
)
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.runs.ledger.sweep_folder import SweepFolder

_ANSWER_LIMIT_S = 5.0
_LOOK_S = 0.1


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "stop",
        help="stop a running sweep from another shell",
        description="Ask a running sweep to stop, and wait until it has. No new run starts, and"
        " running experiments get stop_grace_s seconds to end. The sweep's own command continues"
        " it later.",
    )
    parser.add_argument(
        "batch",
        nargs="?",
        metavar="BATCH",
        help="the batch's id or the sweep's name (default: the one that is running)",
    )
    add_results_root(parser)
    parser.add_argument("--now", action="store_true", help="give experiments no time to end")
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="return as soon as the sweep has received the request",
    )
    parser.set_defaults(handler=stop)


def stop(args: argparse.Namespace) -> int:
    """Ask the sweep to stop, and print how it ended."""
    from argus_tasks.base.processes import user_at_host
    from argus_tasks.runs.ledger.stop_request import request_stop, stop_is_requested

    folder = _running(args)
    session = running_session(folder)
    assert session is not None
    process = session.get("process") or {}
    path = os.fspath(folder.path)
    try:
        request_stop(path, user_at_host(), now=args.now)
    except OSError as error:
        raise ArgusTasksError(f"{path} cannot be written: {error.strerror}.") from error
    deadline = time.monotonic() + _ANSWER_LIMIT_S
    while stop_is_requested(path):
        if time.monotonic() > deadline:
            raise ArgusTasksError(
                f"{folder.batch_id} has not answered within {_ANSWER_LIMIT_S:g} s: process"
                f" {process.get('pid')} on {process.get('host')} may hang."
            )
        time.sleep(_LOOK_S)
    say(f"{folder.batch_id}: process {process.get('pid')} on {process.get('host')} is stopping")
    if args.no_wait:
        return EXIT_OK
    while running_session(folder) is not None:
        time.sleep(_LOOK_S)
    last = folder.sessions()[-1]
    say(f"{folder.batch_id}: {last.get('how') or 'its process is gone'}")
    return EXIT_OK


def _running(args: argparse.Namespace) -> SweepFolder:
    found = find_batches(results_root(args), args.batch)
    running = [folder for folder in found if running_session(folder) is not None]
    if not running:
        what = f"'{args.batch}' is not running" if args.batch else "no sweep is running"
        raise BadInput(f"{what} under {results_root(args)}.")
    if len(running) > 1:
        ids = ", ".join(folder.batch_id for folder in running)
        raise BadInput(f"several sweeps are running; say which one: {ids}.")
    return running[0]
