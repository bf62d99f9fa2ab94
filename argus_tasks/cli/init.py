"""`argus-tasks init [DIR]`: write an example sweep to start from."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.say import say

_FILES = ("sweep.yaml", "experiment.py")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init",
        help="write an example sweep to start from",
        description=f"Write {' and '.join(_FILES)} into a folder. Files that exist are never"
        " overwritten.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="DIR",
        help="default: the working folder",
    )
    parser.set_defaults(handler=init)


def init(args: argparse.Namespace) -> int:
    """Write the files."""
    folder: Path = args.folder
    for name in _FILES:
        if (folder / name).exists():
            raise BadInput(f"DIR is '{folder}', which already has a {name}; nothing is written.")
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("argus_tasks") / "templates"
    for name in _FILES:
        (folder / name).write_text((templates / f"{name}.txt").read_text("utf-8"), "utf-8")
    here = folder / "sweep.yaml"
    say(f"wrote {', '.join(str(folder / name) for name in _FILES)}; next:")
    say(f"  argus-tasks plan {here}")
    say(f"  argus-tasks run {here}")
    say(f"  argus-tasks results {folder / 'results'}")
    return 0
