"""`argus-tasks schema`: print the JSON schema of the sweep file."""

from __future__ import annotations

import argparse
import json

from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON schema of the sweep file",
        description="Print the JSON schema (draft 2020-12) of the sweep file, for editors: run "
        "argus-tasks schema > sweep.schema.json, and make the sweep file's first line "
        "# yaml-language-server: $schema=sweep.schema.json",
    )
    parser.set_defaults(handler=show)


def show(_args: argparse.Namespace) -> int:
    """Print the schema."""
    from argus_tasks.spec.json_schema import json_schema

    say(json.dumps(json_schema(), indent=2))
    return 0
