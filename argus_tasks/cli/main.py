"""The `argus-tasks` command line: one parser, and one module for each command.

A command's module has `register(commands)`, which adds its parser and sets `handler`: a function
of the parsed arguments that returns the exit code. Modules import nothing heavy at their top, so
that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from argus_tasks.base.errors import ArgusTasksError, BadInput, MissingExtra
from argus_tasks.base.folders import file_errors_explained
from argus_tasks.cli.codes import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
)
from argus_tasks.cli.say import say

COMMANDS = (
    "init",
    "plan",
    "run",
    "results",
    "compare",
    "benchmark",
    "baseline",
    "history",
    "report",
    "nightly",
    "status",
    "limit",
    "rerun",
    "stop",
    "clean",
    "release",
    "verify",
    "diff",
    "accept",
    "logs",
    "debug",
    "schema",
    "server",
    "outbox",
    "doctor",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="argus-tasks",
        description="Run experiment sweeps. Each config is a Prefect task run and leaves a folder.",
        epilog="exit codes: 0 success, 1 some runs failed or a rule stopped the sweep, 2 bad"
        " input, 130 stopped by Ctrl-C, the stop button or a cancel, 143 stopped by SIGTERM, 129"
        " by SIGHUP",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in COMMANDS:
        import_module(f"argus_tasks.cli.{name}").register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter: `\u2014`
            stream.reconfigure(errors="backslashreplace")
    try:
        parser = build_parser()
        args = parser.parse_args(argv)
        if args.version:
            from importlib.metadata import version

            say(f"argus-tasks {version('argus-tasks')}")
            return EXIT_OK
        if args.command is None:
            parser.print_help()
            return EXIT_OK
        with file_errors_explained():
            code: int = args.handler(args)
        sys.stdout.flush()
    except (BadInput, MissingExtra) as error:
        say(f"argus-tasks: {error}", error=True)
        return EXIT_BAD_INPUT
    except ArgusTasksError as error:
        say(f"argus-tasks: {error}", error=True)
        return EXIT_SOME_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough; Python must not flush into it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return code


if __name__ == "__main__":
    sys.exit(main())
